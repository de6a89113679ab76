use super::*;

async fn tags(room: &Room, last: Option<&str>, most: usize) -> Vec<String> {
    room.registry.tags(&name("a"), last, most).await.unwrap()
}

#[tokio::test]
async fn tags_come_in_byte_order_and_in_pages() {
    let room = Room::new();
    let bytes = room.image("a", "layer").await;
    for tag in ["latest", "v1", "B", "v2", "a", "v10", "_x", "1.0"] {
        room.push("a", tag, &bytes).await;
    }
    let all = ["1.0", "B", "_x", "a", "latest", "v1", "v10", "v2"];
    assert_eq!(tags(&room, None, 100).await, all);
    assert_eq!(tags(&room, None, 2).await, all[..2]);
    assert_eq!(tags(&room, Some("B"), 2).await, all[2..4]);
    assert_eq!(tags(&room, Some("b"), 100).await, all[4..]);
    assert_eq!(tags(&room, Some("v2"), 100).await, [""; 0]);
    assert_eq!(tags(&room, Some("../x"), 1).await, all[..1]);
    assert_eq!(tags(&room, None, 0).await, [""; 0]);
}

#[tokio::test]
async fn a_page_is_full_even_where_many_folders_are_no_tags() {
    let room = Room::new();
    room.push_image("a", "z", "layer").await;
    let folder = room.path("repositories/a/_manifests/tags");
    for tag in 0..1500 {
        std::fs::create_dir_all(folder.join(format!("stale{tag}/index/sha256"))).unwrap();
    }
    std::fs::create_dir(folder.join("no tag")).unwrap();
    std::fs::write(folder.join("file"), "").unwrap();
    assert_eq!(tags(&room, None, 3).await, ["z"]);
}

#[tokio::test]
async fn a_repository_is_known_by_its_manifests() {
    let room = Room::new();
    let unknown = |out: Result<Vec<String>, Error>| assert!(matches!(out, Err(Error::NameUnknown)));
    unknown(room.registry.tags(&name("a"), None, 10).await);
    room.push_blob("a", b"content").await;
    unknown(room.registry.tags(&name("a"), None, 10).await);
    room.push_image("a/b", "1", "layer").await;
    unknown(room.registry.tags(&name("a"), None, 10).await);
    room.push_image("a", "1", "layer").await;
    room.delete("a", "1").await.unwrap();
    assert_eq!(tags(&room, None, 10).await, [""; 0]);
}
