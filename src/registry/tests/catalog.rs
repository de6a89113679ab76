use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn make(room: &Room, names: &[&str]) {
    for name in names {
        let folder = room.path(&format!("repositories/{name}/_layers"));
        std::fs::create_dir_all(folder).unwrap();
    }
}

async fn catalog(room: &Room, last: Option<&str>, most: usize) -> Vec<String> {
    room.registry.catalog(last, most, &|_| true).await.unwrap()
}

#[tokio::test]
async fn names_come_in_the_byte_order_of_the_whole() {
    let room = Room::new();
    let names = [
        "a", "a-b", "a-b-c", "a-b/x", "a.b", "a/b", "a/b-c", "a/b/c", "a0", "a_b", "ab/c/d/e",
    ];
    make(&room, &names);
    assert_eq!(catalog(&room, None, 100).await, names);
    for (at, last) in names.iter().enumerate() {
        assert_eq!(
            catalog(&room, Some(last), 100).await,
            names[at + 1..],
            "{last}"
        );
        assert_eq!(
            catalog(&room, Some(last), 1).await,
            names[at + 1..].iter().take(1).copied().collect::<Vec<_>>()
        );
    }
    assert_eq!(catalog(&room, None, 0).await, [""; 0]);
}

#[tokio::test]
async fn only_repositories_that_are_visible_count() {
    let room = Room::new();
    make(&room, &["a", "b", "b/x", "c", "d"]);
    let visible = |name: &RepositoryName| !name.as_str().starts_with('b');
    let page = room.registry.catalog(None, 2, &visible).await.unwrap();
    assert_eq!(page, ["a", "c"]);
}

#[tokio::test]
async fn what_is_no_repository_is_passed_over() {
    let room = Room::new();
    make(
        &room,
        &[
            "good/name",
            "Bad",
            "Bad/name",
            "a b/c",
            "_x/y",
            "-x",
            "x/_uploads/y",
        ],
    );
    for folder in [
        "begun/_uploads",
        "empty",
        "one/_manifests",
        "good/_layers/sha256/x",
    ] {
        std::fs::create_dir_all(room.path(&format!("repositories/{folder}"))).unwrap();
    }
    room.write("repositories/file", "");
    room.write("repositories/odd/_layers", "a file");
    assert_eq!(catalog(&room, None, 10).await, ["good", "good/name", "one"]);
}

#[tokio::test]
async fn a_repository_with_many_below_it_is_one() {
    let room = Room::new();
    let below: Vec<String> = (0..40).map(|n| format!("many/{n:02}")).collect();
    make(
        &room,
        &below
            .iter()
            .map(String::as_str)
            .chain(["many"])
            .collect::<Vec<_>>(),
    );
    let all = catalog(&room, None, 100).await;
    assert_eq!(all.len(), 41);
    assert_eq!(all[0], "many");
}

#[tokio::test]
async fn folders_of_thousands_are_read_in_pieces() {
    let room = Room::new();
    let names: Vec<String> = (0..2500).map(|n| format!("r{n:04}")).collect();
    make(&room, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut all: Vec<String> = Vec::new();
    for most in [1100, 1100, 300, 0] {
        let page = catalog(&room, all.last().map(String::as_str), 1100).await;
        assert_eq!(page.len(), most);
        all.extend(page);
    }
    assert_eq!(all, names);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn paging_never_loses_or_repeats(
        names in proptest::collection::btree_set("[ab0]((-|--|\\.|_)?[ab0]){0,2}(/[ab0]((-|\\.)?[ab0])?){0,3}", 0..25),
        most in 1_usize..5,
        from in "[ab0./A -]{0,5}",
    ) {
        let room = Room::new();
        make(&room, &names.iter().map(String::as_str).collect::<Vec<_>>());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut all: Vec<String> = Vec::new();
            loop {
                let page = catalog(&room, all.last().map(String::as_str), most).await;
                let end = page.len() < most;
                all.extend(page);
                if end {
                    break;
                }
            }
            prop_assert_eq!(&all, &names.iter().cloned().collect::<Vec<_>>());
            let rest: BTreeSet<String> = catalog(&room, Some(&from), 100).await.into_iter().collect();
            let wanted: BTreeSet<String> = names.into_iter().filter(|name| *name > from).collect();
            prop_assert_eq!(rest, wanted, "after {}", from);
            Ok(())
        })?;
    }
}
