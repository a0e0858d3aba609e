//! What is built: four workloads, made once and kept for the next time.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::{
    image::{self, Image},
    random::Random,
    support::{self, Registry},
};

/// A Dockerfile with its context and base.
pub struct Workload {
    /// Its short name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// The directory with the Dockerfile.
    pub context: PathBuf,
    /// What it is built for.
    pub platform: &'static str,
    /// The base's OCI layout; none if it is in the registry only.
    pub base: Option<PathBuf>,
    /// The base's name: the value of the build argument `IMAGE`.
    pub image: String,
    /// The steps as one shell script for a root of the base, for the floor.
    pub steps: &'static str,
    /// W4's image, whose blobs the floor reads.
    pub flattened: Option<Image>,
}

const W1: &str = r#"ARG IMAGE
FROM ${IMAGE}
COPY hello.txt /srv/hello.txt
RUN wc -c /srv/hello.txt >/srv/size && mkdir -p /srv/data && date -u -d @0 >/srv/data/stamp
CMD ["cat", "/srv/hello.txt"]
"#;

const W2: &str = r#"ARG IMAGE
FROM ${IMAGE} AS build
WORKDIR /src
COPY src/ /src/
RUN gcc -O2 -c table.c -o table.o && gcc -O2 -c main.c -o main.o
RUN gcc -static -s main.o table.o -o /app && /app 3
FROM scratch AS assets
COPY assets/ /assets/
FROM scratch
COPY --from=build /app /app
COPY --from=assets /assets /assets
ENTRYPOINT ["/app"]
"#;

const W3: &str = r#"ARG IMAGE
FROM ${IMAGE}
COPY small.tar words.txt /in/
RUN mkdir /small && tar -C /small -xf /in/small.tar && find /small -type f | wc -l
RUN LC_ALL=C sort /in/words.txt >/in/sorted.txt && LC_ALL=C grep -c ab /in/sorted.txt >/count
RUN gzip -6 -c /in/words.txt >/words.gz && sha256sum /in/words.txt /words.gz >/sums
RUN rm -rf /in
CMD ["cat", "/sums"]
"#;

const W4: &str = "ARG IMAGE\nFROM ${IMAGE}\n";

const MAIN: &str = "#include <stdio.h>\n#include <stdlib.h>\nint entry(int);\n\
    int main(int n, char **words) { printf(\"%d\\n\", entry(n > 1 ? atoi(words[1]) : 0)); return 0; }\n";
const TABLE: &str = "int entry(int n) { int sum = 0; while (n > 0) sum += n * n--; return sum; }\n";

/// Makes them in `dir`; W4's image is pushed to the registry.
pub fn all(dir: &Path, registry: &Registry) -> Vec<Workload> {
    let context = |name: &str, dockerfile: &str, fill: &dyn Fn(&Path)| {
        let context = dir.join(name);
        if !context.join("Dockerfile").exists() {
            fs::create_dir_all(&context).expect("a context");
            fill(&context);
            fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile");
        }
        context
    };
    let put = |context: &Path, name: &str, content: &[u8]| {
        fs::create_dir_all(context.join(name).parent().expect("a directory")).expect("a directory");
        fs::write(context.join(name), content).expect("a file of a context");
    };
    let w1 = context("w1", W1, &|context| put(context, "hello.txt", b"hello, router\n"));
    let w2 = context("w2", W2, &|context| {
        put(context, "src/main.c", MAIN.as_bytes());
        put(context, "src/table.c", TABLE.as_bytes());
        for n in 0..5 {
            put(context, &format!("assets/{n}.txt"), format!("{n}\n").repeat(1000).as_bytes());
        }
    });
    let w3 = context("w3", W3, &emulated);
    let w4 = context("w4", W4, &|_| ());
    let image = image::make(dir);
    registry.push(&image.dir, "latest", "w4:latest");
    let workload = |name, title, context, platform, base: &str, steps| Workload {
        name,
        title,
        context,
        platform,
        base: Some(support::base(base)),
        image: format!("localhost/{base}:latest"),
        steps,
        flattened: None,
    };
    vec![
        workload(
            "w1",
            "busybox, one COPY, one RUN",
            w1,
            "linux/amd64",
            "busybox",
            "mkdir -p /srv && cp /in/hello.txt /srv/ && sh -c \
             'wc -c /srv/hello.txt >/srv/size && mkdir -p /srv/data && date -u -d @0 >/srv/data/stamp'",
        ),
        workload(
            "w2",
            "two gcc RUNs in one stage, COPY into scratch",
            w2,
            "linux/amd64",
            "gcc",
            "cp -r /in/src / && cd /src && sh -c 'gcc -O2 -c table.c -o table.o && gcc -O2 -c main.c -o main.o' \
             && sh -c 'gcc -static -s main.o table.o -o /app && /app 3 >/dev/null'",
        ),
        workload(
            "w3",
            "Debian for arm64: unpack 20,000 files; sort, grep, compress and hash 100 MB",
            w3,
            "linux/arm64",
            "debian-cross",
            "mkdir /small && tar -C /small -xf /in/small.tar && find /small -type f | wc -l >/dev/null \
             && LC_ALL=C sort /in/words.txt >/sorted.txt && LC_ALL=C grep -c ab /sorted.txt >/count \
             && gzip -6 -c /in/words.txt >/words.gz && sha256sum /in/words.txt /words.gz >/sums",
        ),
        Workload {
            name: "w4",
            title: "an image of a registry (8 gzip layers, 30,000 files) as one flat layer",
            context: w4,
            platform: "linux/amd64",
            base: None,
            image: registry.reference("w4:latest"),
            steps: "",
            flattened: Some(image),
        },
    ]
}

/// W3's input: a tar of many small files, and a long text.
fn emulated(context: &Path) {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let vocabulary: Vec<Vec<u8>> = (0..20_000).map(|_| random.word()).collect();
    let mut line = |out: &mut Vec<u8>| {
        (0..9).for_each(|_| out.extend(&vocabulary[random.below(vocabulary.len() as u64) as usize]));
        *out.last_mut().expect("a line") = b'\n';
    };
    let mut words = fs::File::create(context.join("words.txt")).expect("a text");
    let mut piece = Vec::new();
    let mut pool = Vec::new();
    for _ in 0..100 {
        piece.clear();
        while piece.len() < 1_000_000 {
            line(&mut piece);
        }
        words.write_all(&piece).expect("room for the text");
        pool = piece.clone();
    }
    let mut tar = Builder::new(fs::File::create(context.join("small.tar")).expect("a tar"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for n in 0..20_000_u64 {
        let size = 50 + random.below(3000) as usize;
        let at = random.below((pool.len() - size) as u64) as usize;
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_mtime(1_704_067_200);
        header.set_size(size as u64);
        let name = format!("d{:03}/f{n:05}", n / 100);
        tar.append_data(&mut header, name, &pool[at..at + size]).expect("a member");
    }
    tar.finish().expect("the end of a tar");
}
