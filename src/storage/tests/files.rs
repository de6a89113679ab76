//! Claims on files and folders.

use futures_util::StreamExt;
use futures_util::future::join_all;

use super::*;

pub(super) async fn what_is_written_is_read_back(storage: &Storage) {
    for length in [1, 71, 4096, 5 << 20] {
        let (key, bytes) = (file(&format!("v{length}")), pattern(7, length));
        write(storage, &key, bytes.clone()).await;
        assert!(
            read(storage, &key).await.as_ref() == Some(&bytes),
            "{length}"
        );
        assert_eq!(storage.size(&key).await.unwrap(), Some(length as u64));
    }
}

pub(super) async fn a_missing_file_is_none(storage: &Storage) {
    write(storage, &file("there"), "x").await;
    for key in [file("missing"), blob(1), file("there").below("deeper/link")] {
        assert_eq!(read(storage, &key).await, None, "{key}");
        assert_eq!(storage.size(&key).await.unwrap(), None, "{key}");
        assert!(storage.stream(&key, 0..1).await.unwrap().is_none(), "{key}");
    }
}

pub(super) async fn an_empty_file_is_there(storage: &Storage) {
    write(storage, &file("empty"), "").await;
    assert_eq!(read(storage, &file("empty")).await.unwrap(), "");
    assert_eq!(storage.size(&file("empty")).await.unwrap(), Some(0));
    assert_eq!(stream(storage, &file("empty"), 0..0).await, "");
    assert_eq!(storage.read(&file("empty"), 0).await.unwrap().unwrap(), "");
}

pub(super) async fn a_longer_file_than_may_be_is_damaged(storage: &Storage) {
    write(storage, &file("long"), "12345").await;
    assert_eq!(
        storage.read(&file("long"), 5).await.unwrap().unwrap(),
        "12345"
    );
    let read = storage.read(&file("long"), 4).await;
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
}

pub(super) async fn a_later_write_takes_the_place_of_an_earlier_one(storage: &Storage) {
    for text in ["first, and the longer one", "second", ""] {
        write(storage, &file("v"), text).await;
        assert_eq!(read(storage, &file("v")).await.unwrap(), text);
    }
}

pub(super) async fn many_writers_of_one_file_leave_one_of_theirs(storage: &Storage) {
    let texts: Vec<_> = (0..24_u8)
        .map(|n| pattern(n.into(), 3000 + usize::from(n)))
        .collect();
    let key = file("v");
    write(storage, &key, texts[0].clone()).await;
    let writers = join_all(texts.iter().map(|text| storage.write(&key, text.clone())));
    let readers = join_all((0..50).map(|_| read(storage, &key)));
    let (written, seen) = tokio::join!(writers, readers);
    assert!(written.iter().all(Result::is_ok));
    for seen in seen.into_iter().chain([read(storage, &key).await]) {
        assert!(texts.contains(&seen.unwrap()));
    }
}

pub(super) async fn a_stream_gives_exactly_its_range(storage: &Storage) {
    let bytes = pattern(3, 300_000);
    write(storage, &blob(1), bytes.clone()).await;
    for range in [
        0..300_000,
        0..1,
        299_999..300_000,
        65_535..65_537,
        65_536..131_072,
        100..100,
        300_000..300_000,
        1..299_999,
    ] {
        let wanted = bytes.slice(range.start..range.end);
        let got = stream(storage, &blob(1), range.start as u64..range.end as u64).await;
        assert!(got == wanted, "{range:?}");
    }
}

pub(super) async fn a_long_stream_gives_every_byte_in_order(storage: &Storage) {
    let bytes = pattern(5, 20_000_003);
    write(storage, &blob(1), bytes.clone()).await;
    assert!(stream(storage, &blob(1), 0..bytes.len() as u64).await == bytes);
}

pub(super) async fn a_stream_beyond_the_end_fails_and_does_not_end_early(storage: &Storage) {
    for length in [0, 1000, 65_536, 200_000] {
        write(storage, &blob(1), pattern(1, length)).await;
        for beyond in [1, 1_000_000] {
            let range = 0..length as u64 + beyond;
            // A bucket may know it before the first byte.
            match storage.stream(&blob(1), range).await {
                Ok(stream) => assert!(collect(stream.unwrap()).await.is_err(), "{length}"),
                Err(error) => assert!(matches!(error, Error::Corrupt { .. }), "{error:?}"),
            }
        }
    }
}

pub(super) async fn a_reader_of_a_file_that_is_replaced_never_sees_both(storage: &Storage) {
    let (old, new) = (pattern(1, 6_000_000), pattern(2, 6_000_000));
    write(storage, &blob(1), old.clone()).await;
    let mut reading = storage
        .stream(&blob(1), 0..6_000_000)
        .await
        .unwrap()
        .unwrap();
    let mut got = BytesMut::from(reading.next().await.unwrap().unwrap());
    write(storage, &blob(1), new.clone()).await;
    // A bucket may say that the object is another one by now; then the reader is told.
    while let Some(bytes) = reading.next().await {
        let Ok(bytes) = bytes else { break };
        got.extend_from_slice(&bytes);
    }
    assert!(old.starts_with(&got));
    assert!(stream(storage, &blob(1), 0..6_000_000).await == new);
}

pub(super) async fn a_stream_that_is_dropped_disturbs_nobody(storage: &Storage) {
    let bytes = pattern(5, 3_000_000);
    write(storage, &blob(1), bytes.clone()).await;
    for _ in 0..100 {
        let mut begun = storage
            .stream(&blob(1), 0..3_000_000)
            .await
            .unwrap()
            .unwrap();
        begun.next().await.unwrap().unwrap();
    }
    assert!(stream(storage, &blob(1), 0..3_000_000).await == bytes);
}

pub(super) async fn a_folder_is_no_file(storage: &Storage) {
    write(storage, &file("v"), "x").await;
    let folder = Key::tags(&repository());
    assert_eq!(read(storage, &folder).await, None);
    assert_eq!(storage.size(&folder).await.unwrap(), None);
    assert!(storage.stream(&folder, 0..1).await.unwrap().is_none());
    assert!(!storage.remove(&folder).await.unwrap());
    assert_eq!(read(storage, &file("v")).await.unwrap(), "x");
}

pub(super) async fn a_file_is_no_folder(storage: &Storage) {
    write(storage, &file("v"), "x").await;
    assert_eq!(names(storage, &file("v")).await, [""; 0]);
    storage.remove_below(&file("v")).await.unwrap();
    assert_eq!(read(storage, &file("v")).await.unwrap(), "x");
}

pub(super) async fn removing_tells_whether_there_was_a_file(storage: &Storage) {
    write(storage, &file("v"), "x").await;
    assert!(storage.remove(&file("v")).await.unwrap());
    assert!(!storage.remove(&file("v")).await.unwrap());
    assert!(!storage.remove(&file("never")).await.unwrap());
    assert_eq!(read(storage, &file("v")).await, None);
    let folder = Key::tag(&repository(), &Tag::parse("v").unwrap()).below("current");
    assert_eq!(names(storage, &folder).await, [""; 0]);
}

pub(super) async fn what_is_removed_can_be_written_again(storage: &Storage) {
    for round in ["1", "2", "3"] {
        write(storage, &file("v"), round).await;
        assert_eq!(read(storage, &file("v")).await.unwrap(), round);
        match round {
            "1" => assert!(storage.remove(&file("v")).await.unwrap()),
            _ => storage.remove_below(&Key::repositories()).await.unwrap(),
        }
        assert_eq!(read(storage, &file("v")).await, None);
    }
}

pub(super) async fn a_folder_is_removed_with_all_below_it_and_nothing_else(storage: &Storage) {
    let tag = |name: &str| Key::tag(&repository(), &Tag::parse(name).unwrap());
    let digest = Digest::of(Algorithm::Sha256, &[7; 32]);
    let old = Key::history(&repository(), &Tag::parse("v1").unwrap(), &digest);
    for key in [&file("v1"), &old, &file("v10"), &file("v"), &blob(1)] {
        write(storage, key, "x").await;
    }
    storage.remove_below(&tag("v1")).await.unwrap();
    assert_eq!(read(storage, &file("v1")).await, None);
    assert_eq!(read(storage, &old).await, None);
    for key in [&file("v10"), &file("v"), &blob(1)] {
        assert_eq!(read(storage, key).await.unwrap(), "x", "{key}");
    }
    assert_eq!(
        names(storage, &Key::tags(&repository())).await,
        ["v", "v10"]
    );
}

pub(super) async fn removing_a_missing_folder_is_no_error(storage: &Storage) {
    storage
        .remove_below(&Key::tags(&repository()))
        .await
        .unwrap();
    write(storage, &file("v"), "x").await;
    storage.remove_below(&file("w")).await.unwrap();
    storage
        .remove_below(&file("v").below("deeper"))
        .await
        .unwrap();
    assert_eq!(read(storage, &file("v")).await.unwrap(), "x");
}

pub(super) async fn a_list_is_in_byte_order_and_tells_folders(storage: &Storage) {
    for name in ["b", "a", "B", "a.1", "a-1", "a_1", "a1", "10", "9", "_x"] {
        write(storage, &file(name), "x").await;
    }
    write(storage, &Key::tags(&repository()).below("a0"), "a file").await;
    let list = storage.list(&Key::tags(&repository()), None, 100).await;
    let list: Vec<_> = list
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.is_folder))
        .collect();
    let wanted = [
        ("10", true),
        ("9", true),
        ("B", true),
        ("_x", true),
        ("a", true),
        ("a-1", true),
        ("a.1", true),
        ("a0", false),
        ("a1", true),
        ("a_1", true),
        ("b", true),
    ];
    assert_eq!(list, wanted.map(|(name, is)| (name.to_owned(), is)));
}

pub(super) async fn a_list_is_paged_without_loss_or_repeat(storage: &Storage) {
    let mut wanted: Vec<_> = (0..23).map(|n| format!("v{}", n * 37 % 101)).collect();
    let tags = Key::tags(&repository());
    join_all(
        wanted
            .iter()
            .map(async |name| write(storage, &tags.below(name), "x").await),
    )
    .await;
    wanted.sort();
    for most in [1, 2, 5, 22, 23, 24, 1000] {
        let mut got: Vec<String> = Vec::new();
        loop {
            let after = got.last().map(String::as_str);
            let page = storage.list(&tags, after, most).await.unwrap();
            assert!(page.len() <= most);
            if page.is_empty() {
                break;
            }
            got.extend(page.into_iter().map(|entry| entry.name));
        }
        assert_eq!(got, wanted, "{most}");
    }
    // What a page begins after need not be there.
    let page = storage.list(&tags, Some("v"), 1).await.unwrap();
    assert_eq!(page[0].name, wanted[0]);
    assert_eq!(storage.list(&tags, Some("w"), 9).await.unwrap(), []);
}

pub(super) async fn a_list_of_a_missing_folder_is_empty(storage: &Storage) {
    assert_eq!(names(storage, &Key::repositories()).await, [""; 0]);
    write(storage, &file("v"), "x").await;
    assert_eq!(names(storage, &file("w")).await, [""; 0]);
}

pub(super) async fn a_list_of_nothing_is_empty(storage: &Storage) {
    write(storage, &file("v"), "x").await;
    let none = storage.list(&Key::tags(&repository()), None, 0).await;
    assert_eq!(none.unwrap(), []);
}

pub(super) async fn the_store_answers(storage: &Storage) {
    storage.check().await.unwrap();
    write(storage, &file("v"), "x").await;
    storage.check().await.unwrap();
}

pub(super) async fn tidying_leaves_files_alone(storage: &Storage) {
    write(storage, &file("v"), "x").await;
    write(storage, &blob(1), "y").await;
    storage.tidy(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(read(storage, &file("v")).await.unwrap(), "x");
    assert_eq!(read(storage, &blob(1)).await.unwrap(), "y");
}
