use std::{os::unix::fs::symlink, path::PathBuf};

use super::*;

struct Kept {
    files: Arc<PluginFiles>,
    owner: Owner,
    data: PathBuf,
    root: tempfile::TempDir,
}

fn kept() -> Kept {
    let root = tempfile::tempdir().expect("a directory");
    Kept {
        files: PluginFiles::new(root.path(), 1000),
        owner: owner("shop", "default"),
        data: root.path().join("shop/app_default/data"),
        root,
    }
}

fn owner(plugin: &str, app_id: &str) -> Owner {
    Owner {
        plugin: plugin.into(),
        app_id: app_id.into(),
    }
}

fn at(path: &str) -> FilePath {
    FilePath::parse(path).expect(path)
}

impl Kept {
    async fn write(&self, path: &str, content: &str) -> Result<Change, FilesError> {
        let content = Bytes::copy_from_slice(content.as_bytes());
        self.files.write(&self.owner, at(path), content).await
    }

    async fn read(&self, path: &str) -> Result<String, FilesError> {
        let content = self.files.read(&self.owner, at(path)).await?;
        Ok(String::from_utf8(content.to_vec()).expect("text"))
    }
}

#[tokio::test]
async fn files_are_written_read_listed_and_taken_away() {
    let kept = kept();
    let made = kept.write("a/b/c.txt", "hello").await.expect("written");
    assert_eq!(made, Change::default());
    let replaced = kept.write("a/b/c.txt", "hello you").await.expect("written");
    assert_eq!(
        replaced,
        Change {
            existed: true,
            freed: 5 + ENTRY_BYTES
        }
    );
    assert_eq!(kept.read("a/b/c.txt").await.expect("read"), "hello you");
    let more = Bytes::from_static(b"!");
    let appended = kept.files.append(&kept.owner, at("a/b/c.txt"), more).await;
    assert!(appended.expect("appended").existed);
    assert_eq!(kept.read("a/b/c.txt").await.expect("read"), "hello you!");

    let stat = kept.files.stat(&kept.owner, at("a/b/c.txt")).await;
    let stat = stat.expect("stat").expect("there");
    assert_eq!(
        (stat.kind, stat.size, &*stat.path),
        (Kind::File, 10, "a/b/c.txt")
    );
    assert_eq!(
        kept.files
            .stat(&kept.owner, at("a/x/y"))
            .await
            .expect("stat"),
        None
    );
    // Two directories and a file.
    let bytes = kept.files.bytes(&kept.owner).await.expect("bytes");
    assert_eq!(bytes, 10 + 3 * ENTRY_BYTES);

    let full = kept.files.delete(&kept.owner, at("a"), false).await;
    assert!(matches!(full, Err(FilesError::Conflict(_))), "{full:?}");
    let deleted = kept.files.delete(&kept.owner, at("a"), true).await;
    assert_eq!(deleted.expect("deleted").freed, 10 + 3 * ENTRY_BYTES);
    let again = kept.files.delete(&kept.owner, at("a"), true).await;
    assert!(!again.expect("nothing").existed);
    assert!(matches!(
        kept.read("a/b/c.txt").await,
        Err(FilesError::NotFound(_))
    ));
    // Nothing unfinished stays.
    let unfinished = kept.root.path().join("shop/app_default/unfinished");
    assert_eq!(std::fs::read_dir(unfinished).expect("there").count(), 0);
}

#[tokio::test]
async fn lists_go_on_where_they_ended() {
    let kept = kept();
    for name in ["d/3", "d/1", "d/2", "d/5", "d/4/x"] {
        kept.write(name, "x").await.expect("written");
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = kept.files.list(&kept.owner, at("d"), 2, cursor).await;
        let page = page.expect("a page");
        assert!(page.items.len() <= 2);
        seen.extend(page.items.into_iter().map(|item| (item.path, item.kind)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let file = |path: &str| (path.to_owned(), Kind::File);
    let wanted = [
        file("d/1"),
        file("d/2"),
        file("d/3"),
        ("d/4".into(), Kind::Directory),
        file("d/5"),
    ];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn no_link_is_followed_and_nothing_else_is_opened() {
    let kept = kept();
    kept.write("in/file", "mine").await.expect("written");
    let secret = kept.root.path().join("secret");
    std::fs::write(&secret, "secret").expect("written");
    symlink(&secret, kept.data.join("link")).expect("a link");
    symlink(kept.root.path(), kept.data.join("out")).expect("a link");
    symlink("in", kept.data.join("same")).expect("a link");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        kept.data.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    for path in ["link", "out/secret", "same/file", "pipe", "out"] {
        let (files, owner) = (&kept.files, &kept.owner);
        let content = || Bytes::from_static(b"x");
        let results = [
            files.read(owner, at(path)).await.map(drop),
            files.write(owner, at(path), content()).await.map(drop),
            files.append(owner, at(path), content()).await.map(drop),
            files.delete(owner, at(path), true).await.map(drop),
            files.stat(owner, at(path)).await.map(drop),
        ];
        for result in results {
            assert!(
                matches!(result, Err(FilesError::Outside(_))),
                "{path}: {result:?}"
            );
        }
    }
    let listed = kept.files.list(&kept.owner, at("out"), 10, None).await;
    assert!(matches!(listed, Err(FilesError::Outside(_))), "{listed:?}");
    let made = kept.files.make_directory(&kept.owner, at("out/new")).await;
    assert!(matches!(made, Err(FilesError::Outside(_))), "{made:?}");
    assert_eq!(std::fs::read_to_string(&secret).expect("there"), "secret");
    let listed = kept.files.list(&kept.owner, at("."), 10, None).await;
    let names: Vec<_> = listed
        .expect("a page")
        .items
        .into_iter()
        .map(|item| item.name)
        .collect();
    assert_eq!(names, ["in"]);
    // A tree goes with the links in it, and not with what they lead to.
    symlink(kept.root.path(), kept.data.join("in/out")).expect("a link");
    let deleted = kept.files.delete(&kept.owner, at("in"), true).await;
    assert!(deleted.expect("deleted").existed);
    assert_eq!(std::fs::read_to_string(&secret).expect("there"), "secret");
}

#[tokio::test]
async fn a_directory_that_turns_into_a_link_is_never_followed() {
    let kept = kept();
    kept.write("dir/file", "mine").await.expect("written");
    let outside = kept.root.path().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("file"), "secret").expect("written");
    let (dir, aside) = (kept.data.join("dir"), kept.data.join("aside"));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopped, target) = (Arc::clone(&stop), outside.clone());
    let turning = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            std::fs::rename(&dir, &aside).expect("moved");
            symlink(&target, &dir).expect("a link");
            std::fs::remove_file(&dir).expect("taken away");
            std::fs::rename(&aside, &dir).expect("moved back");
        }
    });
    for _ in 0..2000 {
        if let Ok(content) = kept.read("dir/file").await {
            assert_eq!(content, "mine");
        }
        kept.write("dir/new", "x").await.ok();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    turning.join().ok();
    assert!(!outside.join("new").exists());
}

#[tokio::test]
async fn sizes_are_bounded() {
    let kept = kept();
    let long = "x".repeat(1001);
    let refused = kept.write("long", &long).await;
    assert!(
        matches!(refused, Err(FilesError::TooLarge { limit: 1000, .. })),
        "{refused:?}"
    );
    kept.write("full", &long[..999]).await.expect("written");
    let more = Bytes::from_static(b"yz");
    let refused = kept.files.append(&kept.owner, at("full"), more).await;
    assert!(
        matches!(refused, Err(FilesError::TooLarge { .. })),
        "{refused:?}"
    );
    std::fs::write(kept.data.join("foreign"), &long).expect("written");
    let refused = kept.read("foreign").await;
    assert!(
        matches!(refused, Err(FilesError::TooLarge { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_under_way_is_bounded() {
    let kept = kept();
    let room = kept.files.room(&kept.owner.plugin);
    let others = room.written.try_acquire_many(3).expect("room");
    kept.write("file", "fits").await.expect("written");
    let last = room.written.try_acquire().expect("room");
    let refused = kept.write("file", "does not").await;
    assert!(matches!(refused, Err(FilesError::TooMuch)), "{refused:?}");
    assert_eq!(kept.read("file").await.expect("read"), "fits");
    drop((others, last));
    kept.write("file", "again").await.expect("written");
    let all = room.all.try_acquire_many(1024).expect("room");
    let refused = kept.read("file").await;
    assert!(matches!(refused, Err(FilesError::TooMuch)), "{refused:?}");
    drop(all);
    assert_eq!(kept.read("file").await.expect("read"), "again");
}

#[tokio::test]
async fn owners_have_files_of_their_own() {
    let kept = kept();
    kept.write("file", "mine").await.expect("written");
    for other in [
        owner("shop", "other"),
        owner("shop", "../default"),
        owner("shops", "default"),
    ] {
        let found = kept.files.stat(&other, at("file")).await.expect("stat");
        assert_eq!(found, None, "{other:?}");
        assert_eq!(kept.files.bytes(&other).await.expect("bytes"), 0);
    }
}

#[tokio::test]
async fn what_was_unfinished_is_taken_away_and_a_lost_directory_is_made_anew() {
    let kept = kept();
    let left = kept.root.path().join("shop/app_default/unfinished");
    std::fs::create_dir_all(&left).expect("a directory");
    std::fs::write(left.join("1-1"), "half").expect("written");
    kept.write("file", "mine").await.expect("written");
    assert_eq!(std::fs::read_dir(&left).expect("there").count(), 0);
    std::fs::remove_dir_all(kept.root.path().join("shop")).expect("gone");
    kept.write("file", "again").await.expect("written");
    assert_eq!(kept.read("file").await.expect("read"), "again");
}
