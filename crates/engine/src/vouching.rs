//! One domain vouches for a user to another (ID-JAG): we take what issuers that are trusted vouch for, and vouch to
//! authorization servers that somebody listed. Trust is part of the active bundle.

mod accept;
mod give;

pub use self::{
    accept::{VouchedAsk, accept, trusted_issuer},
    give::{HeldBy, VouchAsk, VouchedFor, vouch},
};
