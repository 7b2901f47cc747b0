//! Against the recursive definitions of RFC 6962 §2.1, and known answers.

use proptest::prelude::*;

use super::*;

/// MTH of RFC 6962 §2.1, as written there.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

fn naive_split(len: usize) -> usize {
    let mut k = 1;
    while k * 2 < len {
        k *= 2;
    }
    k
}

/// PATH of RFC 6962 §2.1.1.
fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (naive_path(index, left), naive_root(right))
    } else {
        (naive_path(index - left.len(), right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 6962 §2.1.2.
fn naive_consistency(old: usize, leaves: &[Hash], from_start: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if from_start { vec![] } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if old <= k {
        (naive_consistency(old, left, from_start), naive_root(right))
    } else {
        (naive_consistency(old - k, right, false), naive_root(left))
    };
    path.push(sibling);
    path
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// The test tree that every implementation of RFC 6962 is checked with.
#[test]
fn known_answers() {
    let records = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let leaves: Vec<Hash> = records.iter().map(|hex| leaf_hash(&hex::decode(hex).unwrap())).collect();
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (size, expected) in roots.into_iter().enumerate() {
        assert_eq!(hex::encode(root(&leaves[..size])), expected, "{size} leaves");
    }
}

#[test]
fn all_small_trees_agree_with_the_definitions() {
    for size in 0..40 {
        let leaves = leaves(size);
        let whole = TreeHead { size: size as u64, root: naive_root(&leaves) };
        assert_eq!(root(&leaves), whole.root, "{size}");
        for index in 0..size {
            let path = inclusion_proof(&leaves, index as u64).unwrap();
            assert_eq!(path, naive_path(index, &leaves), "{index} of {size}");
            assert_eq!(verify_inclusion(&leaves[index], index as u64, whole.size, &path, &whole.root), Ok(()));
        }
        assert_eq!(inclusion_proof(&leaves, size as u64), None);
        for old in 0..=size {
            let head = TreeHead { size: old as u64, root: naive_root(&leaves[..old]) };
            let path = consistency_proof(&leaves, head.size).unwrap();
            if old > 0 {
                assert_eq!(path, naive_consistency(old, &leaves, true), "{old} of {size}");
            }
            assert_eq!(verify_consistency(head, whole, &path), Ok(()), "{old} of {size}");
        }
        assert_eq!(consistency_proof(&leaves, size as u64 + 1), None);
    }
}

#[test]
fn a_frontier_needs_its_peaks() {
    assert!(Frontier::from_peaks(5, vec![[0; 32]; 2]).is_ok());
    assert!(Frontier::from_peaks(5, vec![[0; 32]; 3]).is_err());
    assert!(Frontier::from_peaks(u64::MAX, vec![]).is_err());
}

proptest! {
    #[test]
    fn a_frontier_can_be_put_down_and_taken_up(first in 0_usize..300, second in 0_usize..300) {
        let leaves = leaves(first + second);
        let before: Frontier = leaves[..first].iter().copied().collect();
        let mut after = Frontier::from_peaks(before.size(), before.peaks().to_vec()).unwrap();
        after.extend(leaves[first..].iter().copied());
        prop_assert_eq!(after.size(), leaves.len() as u64);
        prop_assert_eq!(after.root(), naive_root(&leaves));
    }

    /// No proof holds for another leaf, index, size, root, or with a hash more, less or altered.
    #[test]
    fn inclusion_holds_for_nothing_else(size in 1_usize..70, pick in any::<u64>(), how in 0..6) {
        let leaves = leaves(size);
        let index = pick % size as u64;
        let mut path = inclusion_proof(&leaves, index).unwrap();
        let (mut leaf, mut at, mut whole, mut root) = (leaves[index as usize], index, size as u64, naive_root(&leaves));
        match how {
            0 => leaf[0] ^= 1,
            1 => at = (index + 1) % (size as u64 + 1),
            2 => whole = whole * 2 + 1,
            3 => root[31] ^= 1,
            4 => path.push([0; 32]),
            _ => {
                prop_assume!(!path.is_empty());
                let at = (pick as usize / 7) % path.len();
                path[at][5] ^= 4;
            }
        }
        prop_assert!(verify_inclusion(&leaf, at, whole, &path, &root).is_err());
    }

    #[test]
    fn consistency_holds_for_nothing_else(size in 2_usize..70, pick in any::<u64>(), how in 0..5) {
        let leaves = leaves(size);
        let old = 1 + pick % (size as u64 - 1);
        let mut path = consistency_proof(&leaves, old).unwrap();
        let mut head = TreeHead { size: old, root: naive_root(&leaves[..old as usize]) };
        let mut whole = TreeHead { size: size as u64, root: naive_root(&leaves) };
        match how {
            0 => head.root[0] ^= 1,
            1 => whole.root[0] ^= 1,
            2 => path.push([0; 32]),
            3 => { path.pop(); }
            _ => std::mem::swap(&mut head, &mut whole),
        }
        prop_assert!(verify_consistency(head, whole, &path).is_err());
    }
}
