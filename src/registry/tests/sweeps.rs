use std::time::SystemTime;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Sets the clock of every file of an upload back by two hours.
fn age(room: &Room, upload: &str) {
    let then = SystemTime::now() - 2 * HOUR;
    let mut folders = vec![room.path(&format!("repositories/{upload}"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                std::fs::File::open(path)
                    .unwrap()
                    .set_modified(then)
                    .unwrap();
            }
        }
        std::fs::File::open(folder)
            .unwrap()
            .set_modified(then)
            .unwrap();
    }
}

#[tokio::test]
async fn uploads_that_nobody_touched_go_and_others_stay() {
    let room = Room::new();
    let mut uploads = Vec::new();
    for repository in ["a", "a/b", "z"] {
        for old in [true, false] {
            let id = room
                .registry
                .begin_upload(&name(repository), ann())
                .await
                .unwrap();
            let at = name(repository);
            room.registry
                .append(&at, &id, Chunk::default(), body(&[b"abc"]))
                .await
                .unwrap();
            if old {
                age(&room, &format!("{repository}/_uploads/{id}"));
            }
            uploads.push((at, id, old));
        }
    }
    assert_eq!(
        room.registry.sweep(HOUR).await.unwrap(),
        Swept {
            uploads: 3,
            open: 3
        }
    );
    for (at, id, old) in uploads {
        let offset = room.registry.upload_offset(&at, &id).await;
        assert_eq!(offset.is_err(), old);
        assert_eq!(
            room.path(&format!("repositories/{at}/_uploads/{id}"))
                .exists(),
            !old
        );
    }
    let left = Swept {
        uploads: 0,
        open: 3,
    };
    assert_eq!(room.registry.sweep(HOUR).await.unwrap(), left);
}

#[tokio::test]
async fn an_upload_in_hand_stays() {
    let room = Room::new();
    let at = name("a");
    let id = room.registry.begin_upload(&at, ann()).await.unwrap();
    let (send, receive) = tokio::sync::mpsc::channel::<Bytes>(1);
    let slow = stream::unfold(receive, async |mut receive| {
        receive.recv().await.map(|frame| (Ok(frame), receive))
    });
    let append = room
        .registry
        .append(&at, &id, Chunk::default(), slow.boxed());
    let sweep = async {
        send.send(Bytes::from("abc")).await.unwrap();
        assert_eq!(
            room.registry.sweep(Duration::ZERO).await.unwrap(),
            Swept {
                uploads: 0,
                open: 1
            }
        );
        drop(send);
    };
    let (append, ()) = tokio::join!(append, sweep);
    assert_eq!(append.unwrap(), 3);
}

#[tokio::test]
async fn uploads_of_registry_2_go_when_they_are_old() {
    let room = Room::new();
    let (at, id) = (name("a"), "0f57528e-1f2c-4c5e-9a2e-0123456789ab");
    let upload = &format!("a/_uploads/{id}");
    room.write(
        &format!("repositories/{upload}/startedat"),
        "2020-01-01T00:00:00Z",
    );
    room.write(&format!("repositories/{upload}/data"), "abc");
    room.write(
        &format!("repositories/{upload}/hashstates/sha256/0"),
        "sha\x03",
    );
    let out = room
        .registry
        .append(&at, id, Chunk::default(), body(&[b"x"]));
    assert!(matches!(out.await, Err(Error::UploadUnknown)));
    age(&room, upload);
    assert_eq!(
        room.registry.sweep(HOUR).await.unwrap(),
        Swept {
            uploads: 1,
            open: 0
        }
    );
    assert!(!room.path(&format!("repositories/{upload}")).exists());
}

#[tokio::test]
async fn content_is_never_swept() {
    let room = Room::new();
    room.push_image("a", "1", "layer").await;
    room.registry.sweep(Duration::ZERO).await.unwrap();
    assert!(room.pull("a", "1").await.is_ok());
    assert!(room.has_blob("a", &sha256(b"layer")).await);
}
