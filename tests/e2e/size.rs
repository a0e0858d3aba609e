//! Where an image's bytes are: `routerpack size`, and its page in a browser.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::{Browser, World, base};

const APK: &str = "P:musl\nV:1.2.5-r0\nA:armv7\nF:lib\nR:ld-musl-armhf.so.1\na:0:0:755\nZ:Q1abc=\n\nP:app\nV:3\nA:noarch\nF:usr/share\nR:data\n";
const DPKG: &str = "Package: tool\nStatus: install ok installed\nVersion: 1:2.0-3\nArchitecture: armhf\n";

/// An archive with two databases, a merged /bin, hard links, duplicates and names that are no text.
fn archive(world: &World) {
    for (name, bytes) in [
        ("usr/bin/tool", "t".repeat(500_000)),
        ("lib/ld-musl-armhf.so.1", "m".repeat(300_000)),
        ("usr/share/data", "d".repeat(200_000)),
        ("opt/copy", "d".repeat(200_000)),
        ("opt/own", "o".repeat(100_000)),
        ("opt/empty", String::new()),
        ("opt/</script><img src=x onerror=alert(1)>", "x".repeat(50_000)),
        ("lib/apk/db/installed", APK.into()),
        ("var/lib/dpkg/status", DPKG.into()),
        ("var/lib/dpkg/info/tool.list", "/.\n/bin\n/bin/tool\n".into()),
    ] {
        // A slash within the name above makes a directory of its beginning, which serves as well.
        world.write(&format!("root/{name}"), bytes);
    }
    symlink("usr/bin", world.path("root/bin")).unwrap();
    fs::hard_link(world.path("root/usr/bin/tool"), world.path("root/opt/linked-tool")).unwrap();
    fs::write(world.path("root").join(OsStr::from_bytes(b"opt/\xff\x1b[2J")), "y".repeat(2000)).unwrap();
    world.routerpack(["commit", "./root", "--platform=linux/arm/v7", "-o", "a.tar"]).success();
}

fn measured(world: &World, arguments: &[&str]) -> Value {
    let outcome = world.routerpack(["size", "--format=json"].iter().chain(arguments)).success();
    serde_json::from_slice(&outcome.stdout).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn bytes_by_directory_and_package() {
    let world = World::new();
    archive(&world);
    let sizes = measured(&world, &["a.tar", "--depth=9"]);
    let databases = APK.len() + DPKG.len() + "/.\n/bin\n/bin/tool\n".len();
    assert_eq!(sizes["bytes"], 1_352_000 + databases, "hard links count once");
    assert_eq!((&sizes["files"], &sizes["platform"]), (&json!(11), &json!("linux/arm/v7")));
    let packages =
        |name: &str| sizes["packages"].as_array().unwrap().iter().find(|p| p["name"] == name).unwrap().clone();
    let of = |manager, name, version, architecture, bytes| {
        json!({"manager": manager, "name": name, "version": version, "architecture": architecture, "installed": true,
            "bytes": bytes, "files": 1})
    };
    assert_eq!(packages("tool"), of("dpkg", "tool", "1:2.0-3", "armhf", 500_000));
    assert_eq!(packages("musl"), of("apk", "musl", "1.2.5-r0", "armv7", 300_000));
    assert_eq!(packages("app"), of("apk", "app", "3", "noarch", 200_000));
    assert_eq!(sizes["unowned"], json!({"bytes": 352_000 + databases, "files": 8}));
    assert_eq!(
        sizes["duplicates"]["groups"][0],
        json!({"bytes": 200_000, "saved": 200_000, "paths": ["/opt/copy", "/usr/share/data"]})
    );
    assert_eq!(sizes["tree"]["children"][0]["path"], "/opt", "the first name of the hard link is there");

    let text = world.routerpack(["size", "a.tar", "--for=hap-ax-lite", "--top=2"]).success().text();
    for part in [
        "a.tar: linux/arm/v7, 1.4 MB in 11 files\nhAP ax lite: an import takes up to 4.1 MB, within the ",
        "\n    0.9 MB   63.0 %    opt/\n    0.5 MB   37.0 %      linked-tool\n    0.2 MB   14.8 %      copy\n    0.2 MB   11.2 %      and 4 more\n",
        "\nBy package\n    0.5 MB   37.0 %  tool 1:2.0-3 (dpkg)\n    0.3 MB   22.2 %  musl 1.2.5-r0 (apk)\n    0.2 MB   14.8 %  and 1 more\n    0.4 MB   26.0 %  (no package)\n",
        "\nDuplicates: hard links would save 0.2 MB\n    0.2 MB   14.8 %  2 × 0.2 MB  /opt/copy  /usr/share/data\n",
    ] {
        assert!(text.contains(part), "{part}\n--- is not in\n{text}");
    }
    let all = world.routerpack(["size", "a.tar", "--top=99", "--depth=9"]).success().text();
    assert!(all.contains("\\xff\\u{1b}[2J") && !all.contains('\u{1b}'), "{all}");
    assert_eq!(world.routerpack(["size", "a.tar", "-f", "{{.files}}"]).success().text(), "11\n");
    let device = &measured(&world, &["a.tar", "--for=hap-ax-lite"])["device"];
    assert_eq!(device["flash"], 128 << 20);
    assert!(number(&device["needed"]) > 3 * 1_352_000 && device["code"] == "L41G-2axD", "{device}");
}

#[test]
fn debian_s_packages_own_nearly_all_of_debian() {
    let world = World::new();
    let sizes = measured(&world, &[&format!("oci:{}", base("debian").display())]);
    let packages = sizes["packages"].as_array().unwrap();
    let owned: u64 = packages.iter().map(|p| number(&p["bytes"])).sum();
    assert_eq!(owned + number(&sizes["unowned"]["bytes"]), number(&sizes["bytes"]));
    assert!(number(&sizes["unowned"]["bytes"]) * 10 < owned, "{}", sizes["unowned"]);
    for name in ["libc6", "coreutils", "bash", "dpkg", "base-files"] {
        let package = packages.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no {name}"));
        assert!(number(&package["bytes"]) > 100_000 || name == "base-files", "{package}");
        assert!(package["version"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{package}");
    }
}

#[test]
fn what_goes_wrong_leaves_nothing() {
    let world = World::new();
    archive(&world);
    world.routerpack(["size", "a.tar", "--format={{.Bytes}}"]).failure().says(&["Bytes", "biggest"]);
    world.routerpack(["size", "none.tar"]).failure().says(&["none.tar"]);
    world.routerpack(["size", "-", "--for=-"]).failure().says(&["one thing only"]);
    world
        .routerpack(["size", "a.tar", "--html=no/such/page.html"])
        .failure()
        .says(&["page.html", "create the directory"]);
    world.routerpack(["size", "a.tar", "--for=hap-ax3"]).failure().says(&["arm64"]);
    world.routerpack(["size", "a.tar", "--html=page.html"]).success();
    let mut names: Vec<_> = fs::read_dir(world.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.tar", "page.html", "root"]);
    // A database out of all proportion costs its own list, not the sizes.
    let database = fs::File::create(world.path("root/lib/apk/db/installed")).unwrap();
    database.set_len(100 << 20).unwrap();
    let told = world.routerpack(["size", "./root"]).success().says(&["warning: ./root", "lib/apk/db/installed"]);
    assert!(told.text().contains("104.9 MB") && !told.text().contains("By package"), "{told}");
}

const TILES: &str = "[...document.querySelectorAll('main > button')].map(tile => tile.ariaLabel.split(', ')[0])";
const FOCUS: &str = "document.activeElement.ariaLabel.split(', ')[0]";
const TRAIL: &str = "[...document.querySelectorAll('#trail li')].map(step => step.textContent)";

fn tile(name: &str) -> String {
    format!("[...document.querySelectorAll('main > button')].find(tile => tile.ariaLabel.startsWith('{name},'))")
}

/// The tar of a directory with so many small files.
fn rootfs_of(files: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    tar.append_data(&mut header, "many", std::io::empty()).unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    for number in 0..files {
        header.set_size(1 + number as u64 % 50);
        tar.append_data(&mut header, format!("many/f{number}"), &[b'x'; 50][..1 + number % 50]).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn the_page_works_by_mouse_and_keyboard() {
    let world = World::new();
    archive(&world);
    world.routerpack(["size", "a.tar", "--html=page.html"]).success();
    for (name, files) in [("none", 0), ("many", 30_000)] {
        world.write(&format!("{name}.tar"), rootfs_of(files));
        world.routerpack(["size", &format!("./{name}.tar"), &format!("--html={name}.html")]).success();
    }
    let mut browser = Browser::start();
    browser.open(&world.path("page.html"));

    // The mouse: in by a click, within a tile of a tile too; out by the trail.
    assert_eq!(browser.value("document.title"), "a.tar: sizes");
    assert_eq!(browser.value(TILES), json!(["opt", "lib", "usr", "var"]));
    browser.click(&tile("opt"));
    assert_eq!(browser.value(TRAIL), json!(["/", "opt"]));
    assert_eq!(browser.value(FOCUS), "linked-tool");
    browser.click(&tile("linked-tool"));
    assert_eq!(browser.value(TRAIL), json!(["/", "opt"]), "a file is no place to go to");
    browser.click("document.querySelector('#trail button')");
    assert_eq!((browser.value(TRAIL), browser.value(FOCUS)), (json!(["/"]), json!("opt")));

    // The keyboard: arrows move, Enter goes in, Escape and Backspace out, to where one came from.
    browser.press(&["ArrowRight"]);
    let beside = browser.value(FOCUS);
    assert_ne!(beside, "opt");
    browser.press(&["ArrowLeft", "End", "PageUp", "PageDown", "Home", "PageDown"]);
    assert_eq!(browser.value(FOCUS), "lib");
    assert_eq!(browser.value("document.activeElement.matches(':focus-visible')"), true);
    assert_eq!(browser.value("document.querySelectorAll('main [tabindex=\"0\"]').length"), 1);
    browser.press(&["Enter"]);
    assert_eq!(browser.value(TRAIL), json!(["/", "lib"]));
    browser.press(&["Escape"]);
    assert_eq!((browser.value(TRAIL), browser.value(FOCUS)), (json!(["/"]), json!("lib")));
    browser.press(&["Backspace"]);
    assert_eq!(browser.value(TRAIL), json!(["/"]), "the root is the outermost place");

    // Search finds by a part of a name, and shows where it is.
    browser.press(&["/", "O", "W", "N"]);
    assert_eq!(
        browser.value("[...document.querySelectorAll('#found button')].map(row => row.textContent)"),
        json!(["/opt/own0.1 MB"])
    );
    browser.press(&["ArrowDown", "Enter"]);
    assert_eq!((browser.value(TRAIL), browser.value(FOCUS)), (json!(["/", "opt"]), json!("own")));

    // A window of another size has the same tiles at other places.
    let width = "document.activeElement.offsetWidth + document.querySelector('main').offsetWidth";
    let before = browser.value(width);
    browser.resize(700, 900);
    browser.wait_for(&format!("{width} < {before}"));
    assert_eq!(browser.value(FOCUS), "own");

    // Packages are the other view.
    browser.click("[...document.querySelectorAll('#views button')].find(view => view.textContent === 'Packages')");
    assert_eq!(browser.value(TILES), json!(["tool 1:2.0-3", "no package", "musl 1.2.5-r0", "app 3"]));
    browser.click(&tile("musl 1.2.5-r0"));
    assert_eq!(browser.value(TILES), json!(["/lib/ld-musl-armhf.so.1"]));

    // Names are never markup, and colours follow the scheme.
    assert_eq!(browser.value("document.images.length + document.scripts.length"), 2);
    let colour = "getComputedStyle(document.body).backgroundColor";
    let light = browser.value(colour);
    browser.prefer("dark");
    assert_ne!(browser.value(colour), light);

    browser.open(&world.path("none.html"));
    assert_eq!(browser.value("document.getElementById('nothing').checkVisibility()"), true);
    assert_eq!(browser.value(TILES), json!([]));

    // Of many files most are in a tile of their own, which leads to them.
    browser.open(&world.path("many.html"));
    browser.click(&tile("many"));
    let tiles = browser.value("document.querySelectorAll('main > button').length").as_u64().unwrap();
    assert!((100..=200).contains(&tiles), "{tiles}");
    browser.click("[...document.querySelectorAll('main > button')].find(tile => tile.ariaLabel.includes(' more,'))");
    assert_eq!(browser.value("document.querySelectorAll('#trail li').length"), 3);
    browser.press(&["Escape"]);
    assert_eq!(browser.value(&format!("{FOCUS}.includes(' more')")), true);

    assert_eq!(browser.complaints, [""; 0]);
    assert!(
        browser.requests.iter().all(|url| url.starts_with("file://")) && browser.requests.len() == 3,
        "{:?}",
        browser.requests
    );
}
