use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn room(most: usize) -> Room {
    Room::new().with(|config| config.uploads_per_user = most)
}

fn nobody(address: &str) -> Owner {
    Owner::nobody(Some(address.parse().unwrap()).into())
}

async fn begin(registry: &Registry, owner: Owner) -> String {
    try_begin(registry, owner).await.unwrap()
}

async fn try_begin(registry: &Registry, owner: Owner) -> Result<String, Error> {
    registry.begin_upload(&name("a"), owner).await
}

async fn is_full(registry: &Registry, owner: Owner) -> bool {
    match try_begin(registry, owner).await {
        Ok(id) => {
            registry.cancel_upload(&name("a"), &id).await.unwrap();
            false
        }
        Err(Error::TooManyUploads { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn g11_n56_who_has_enough_uploads_open_begins_no_more_and_others_do() {
    let room = room(3);
    let registry = &room.registry;
    for _ in 0..3 {
        begin(registry, ann()).await;
    }
    let refused = try_begin(registry, ann()).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("this user has 3 uploads open"),
        "{refused}"
    );
    let digest = &sha256(b"abc");
    let at = &name("b");
    let whole = registry.put_blob(at, ann(), digest, None, body(&[b"abc"]));
    assert!(matches!(whole.await, Err(Error::TooManyUploads { .. })));
    assert_eq!(
        std::fs::read_dir(room.path("repositories/a/_uploads"))
            .unwrap()
            .count(),
        3
    );
    assert!(!room.path("repositories/b").exists());
    for other in [
        Owner::user("bob"),
        Owner::user("192.0.2.1"),
        nobody("192.0.2.1"),
    ] {
        assert!(!is_full(registry, other).await);
    }
}

#[tokio::test]
async fn what_is_finished_cancelled_or_spoilt_gives_its_place_back_at_once() {
    let room = room(1);
    let registry = &room.registry;
    let (at, digest) = (&name("a"), &sha256(b"abc"));
    let whole = Chunk::default();
    for _ in 0..3 {
        let id = begin(registry, ann()).await;
        assert!(is_full(registry, ann()).await);
        let close = registry.close(at, &id, whole, body(&[b"abc"]), digest);
        close.await.unwrap();

        let id = begin(registry, ann()).await;
        let wrong = registry.close(at, &id, whole, body(&[b"abd"]), digest);
        assert!(matches!(wrong.await, Err(Error::DigestMismatch)));

        let id = begin(registry, ann()).await;
        let broken = registry.close(at, &id, whole, cut(&[b"ab"]), digest);
        broken.await.unwrap_err();
        assert!(is_full(registry, ann()).await, "it can be gone on with");
        registry.cancel_upload(at, &id).await.unwrap();

        let id = begin(registry, ann()).await;
        std::fs::write(
            room.path(&format!("repositories/a/_uploads/{id}/dockgate-state")),
            "",
        )
        .unwrap();
        registry.cancel_upload(at, &id).await.unwrap();
    }
    assert!(!is_full(registry, ann()).await);
}

#[tokio::test]
async fn a_blob_that_comes_whole_has_a_place_while_it_comes() {
    let room = room(1);
    let (registry, at) = (&room.registry, &name("a"));
    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let slow = stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|frame| (Ok(frame), receive))
    });
    let digest = &sha256(b"abc");
    let put = registry.put_blob(at, ann(), digest, None, slow.boxed());
    let meanwhile = async {
        send.send(Bytes::from("abc")).await.unwrap();
        assert!(is_full(registry, ann()).await);
        // A look at the store takes nothing away from who is at work.
        registry.sweep(HOUR).await.unwrap();
        assert!(is_full(registry, ann()).await);
        drop(send);
    };
    let (put, ()) = tokio::join!(put, meanwhile);
    put.unwrap();
    assert!(!is_full(registry, ann()).await);
    for (content, digest) in [(cut(&[b"ab"]), digest), (body(&[b"abd"]), digest)] {
        let put = registry.put_blob(at, ann(), digest, None, content);
        put.await.unwrap_err();
        assert!(!is_full(registry, ann()).await);
    }
}

#[tokio::test]
async fn a_beginning_that_fails_has_no_place() {
    let room = room(1);
    room.write("repositories/a", "no folder");
    for _ in 0..3 {
        let failed = try_begin(&room.registry, ann()).await;
        assert!(matches!(failed, Err(Error::Storage(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn those_without_a_name_are_counted_by_address_and_all_together() {
    let room = room(2);
    let registry = &room.registry;
    let address = |last: usize| nobody(&format!("192.0.2.{last}"));
    for last in 0..10 {
        begin(registry, address(last)).await;
        begin(registry, address(last)).await;
        assert!(is_full(registry, address(last)).await);
    }
    let refused = try_begin(registry, address(11)).await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.starts_with("clients without a name have 20 "),
        "{refused}"
    );
    assert!(!is_full(registry, ann()).await);
}

#[tokio::test]
async fn after_a_restart_a_look_at_the_store_counts_what_was_there() {
    let room = room(3);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(begin(&room.registry, ann()).await);
    }
    begin(&room.registry, nobody("192.0.2.1")).await;
    room.write(
        "repositories/a/_uploads/0f57528e-1f2c-4c5e-9a2e-0123456789ab/data",
        "of registry:2",
    );
    let restarted = room.another();
    let restarted = restarted
        .with_switches(&config::Registry {
            uploads_per_user: 3,
            ..restarted.config.clone()
        })
        .unwrap();
    assert!(!is_full(&restarted, ann()).await);
    restarted.sweep(HOUR).await.unwrap();
    assert!(is_full(&restarted, ann()).await);
    let at = &name("a");
    restarted.cancel_upload(at, &ids[0]).await.unwrap();
    begin(&restarted, ann()).await;
    assert!(is_full(&restarted, ann()).await);
    for _ in 0..2 {
        begin(&restarted, nobody("192.0.2.1")).await;
    }
    assert!(is_full(&restarted, nobody("192.0.2.1")).await);
}

#[tokio::test]
async fn what_another_process_ends_is_free_when_it_is_asked_for_or_looked_at() {
    let room = room(2);
    let (registry, at) = (&room.registry, &name("a"));
    let ids = [begin(registry, ann()).await, begin(registry, ann()).await];
    let other = room.another();
    for id in &ids {
        other.cancel_upload(at, id).await.unwrap();
    }
    assert!(is_full(registry, ann()).await);
    let gone = registry.append(at, &ids[0], Chunk::default(), body(&[b"x"]));
    assert!(matches!(gone.await, Err(Error::UploadUnknown)));
    assert!(!is_full(registry, ann()).await);
    begin(registry, ann()).await;
    assert!(is_full(registry, ann()).await);
    registry.sweep(HOUR).await.unwrap();
    assert!(!is_full(registry, ann()).await);
    begin(registry, ann()).await;
    assert!(is_full(registry, ann()).await);
}

#[tokio::test]
async fn what_is_swept_is_free_again() {
    let room = room(2);
    begin(&room.registry, ann()).await;
    begin(&room.registry, ann()).await;
    room.registry.sweep(HOUR).await.unwrap();
    assert!(is_full(&room.registry, ann()).await);
    room.registry.sweep(Duration::ZERO).await.unwrap();
    begin(&room.registry, ann()).await;
    begin(&room.registry, ann()).await;
    assert!(is_full(&room.registry, ann()).await);
}

/// A reload changes the bound, and nobody's count.
#[tokio::test]
async fn another_bound_counts_the_same_uploads() {
    let room = room(5);
    for _ in 0..3 {
        begin(&room.registry, ann()).await;
    }
    let room = room.with(|config| config.uploads_per_user = 3);
    assert!(is_full(&room.registry, ann()).await);
    let room = room.with(|config| config.uploads_per_user = 4);
    assert!(!is_full(&room.registry, ann()).await);
}

#[tokio::test]
async fn memory_has_the_same_bound() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(&config::Registry {
        storage: config::Storage::Memory,
        uploads_per_user: 2,
        ..settings(&folder)
    });
    let registry = registry.unwrap();
    let id = begin(&registry, ann()).await;
    begin(&registry, ann()).await;
    assert!(is_full(&registry, ann()).await);
    registry.sweep(HOUR).await.unwrap();
    assert!(is_full(&registry, ann()).await);
    registry.cancel_upload(&name("a"), &id).await.unwrap();
    begin(&registry, ann()).await;
    assert!(is_full(&registry, ann()).await);
}
