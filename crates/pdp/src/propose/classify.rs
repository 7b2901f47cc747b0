//! Class and tags of a tool, from the words of its name, its arguments' names
//! and its description. Anything unclear is the worst.

use bailiwick_model::operation::{ActionClass, ActionTag};

use crate::{
    catalogue::words::{normaliser_of, words},
    json_schema::RecordType,
    normalise::Normaliser,
};

/// Words of a name that mean destroying.
const DELETES: &str = "delete remove drop purge erase destroy truncate clear wipe unlink trash uninstall rm reset prune \
    discard forget revoke expunge empty";
/// Words of a name that mean running something.
const EXECUTES: &str = "execute exec run eval evaluate invoke shell command bash script spawn start stop launch deploy \
    restart kill terminate trigger reboot shutdown install compile sandbox";
/// Words of a name that mean making or changing.
const WRITES: &str = "create write update edit add set insert append put post send move rename copy upload save store \
    modify change patch merge commit push checkout branch tag comment assign close submit approve reject invite share \
    publish schedule book pay transfer refund import register init clone subscribe unsubscribe enable disable grant mkdir \
    stage toggle mark archive restore reply forward cancel accept upsert replace apply sync make new notify message link \
    attach detach configure rotate lock unlock charge order buy purchase convert generate";
/// Words that mean reading where a name starts with them, or with one word for the system before them.
const READS: &str = "read get list search find fetch show describe view lookup count check preview inspect browse \
    retrieve download explain validate analyze analyse compare diff status stat head tail tree whoami ping log logs history \
    export";
/// Words that mean reading where a name ends with them.
const READ_NOUNS: &str = "tree status info history log logs schema count stats summary diff";
/// Words of a description that a reading tool would have no reason for.
const TELLING: &str = "deletes removes overwrites modifies creates updates writes sends executes drops replaces posts \
    uploads moves renames";

/// Words of what leaves the organisation.
const SENDS: &str = "send email mail message sms slack post publish tweet notify webhook share upload fetch http request \
    browse navigate call reply forward invite push subscribe sync comment clone web websearch";
/// Words of what costs or moves money.
const MONEY: &str = "pay payment payments payout charge invoice refund purchase buy order subscription transfer billing \
    credit funds price wire donate book";
/// Words of what touches production.
const PRODUCTION: &str = "deploy release production prod rollback restart scale reboot shutdown terraform";
/// Words of what takes data out.
const EXPORTS: &str = "export dump download backup snapshot extract";
/// Words of what changes who may do what.
const RIGHTS: &str = "grant revoke permission permissions acl role roles share invite password chmod chown admin access \
    policy member members collaborator credential credentials rotate";
/// Words of what touches many at once.
const BULK: &str = "bulk batch all mass multiple many purge truncate wipe drop";

/// A proposed class, its tags, and why.
pub(super) struct Classified {
    pub(super) class: ActionClass,
    pub(super) tags: Vec<ActionTag>,
    pub(super) because: String,
}

/// Classifies one tool.
pub(super) fn classify(name: &str, description: &str, input: &RecordType) -> Classified {
    let name_words = words(name);
    let of = |known: &str| name_words.iter().find(|word| is_among(known, word));
    let (class, word) = if let Some(word) = of(DELETES) {
        (ActionClass::Delete, word)
    } else if let Some(word) = of(EXECUTES) {
        (ActionClass::Execute, word)
    } else if let Some(word) = of(WRITES) {
        (ActionClass::Write, word)
    } else if let Some(word) = reading(&name_words) {
        if let Some(telling) = words(description).iter().find(|word| is_among(TELLING, word)) {
            return worst(format!("its name says `{word}`, but its description says `{telling}`"));
        }
        (ActionClass::Read, word)
    } else {
        return worst(String::from("its name does not say what it does, so it is judged as the worst"));
    };
    let tags = ActionTag::ALL.into_iter().filter(|tag| has_tag(*tag, class, &name_words, input)).collect();
    Classified { class, tags, because: format!("its name says `{word}`") }
}

fn worst(because: String) -> Classified {
    Classified { class: ActionClass::Write, tags: ActionTag::ALL.to_vec(), because }
}

/// The word by which a name means reading.
fn reading(name: &[String]) -> Option<&String> {
    let first = name.iter().take(2).find(|word| is_among(READS, word));
    first.or_else(|| name.last().filter(|word| is_among(READ_NOUNS, word)))
}

fn is_among(known: &str, word: &str) -> bool {
    known.split_ascii_whitespace().any(|other| other == word)
}

fn has_tag(tag: ActionTag, class: ActionClass, name: &[String], input: &RecordType) -> bool {
    let says = |known: &str| name.iter().any(|word| is_among(known, word));
    let changes = class != ActionClass::Read;
    match tag {
        ActionTag::Egress => {
            let addresses =
                |argument: &String| matches!(normaliser_of(argument), Some(Normaliser::Url | Normaliser::Email));
            says(SENDS) || input.attributes.keys().any(addresses)
        }
        ActionTag::Billing => {
            let amount = |argument: &String| words(argument).iter().any(|word| word == "amount");
            changes && (says(MONEY) || input.attributes.keys().any(amount))
        }
        ActionTag::Production => changes && says(PRODUCTION),
        ActionTag::Export => says(EXPORTS),
        ActionTag::PermissionChange => changes && says(RIGHTS),
        ActionTag::Bulk => says(BULK),
    }
}
