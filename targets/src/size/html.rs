//! Sizes as one HTML page with a treemap.
//!
//! The page needs nothing else: style, script and data are in it, and its policy (CSP level 2, hashes of its own style and
//! script) lets nothing else in. Names in an image are anybody's: they are in the data alone, which the script sets as text.

use std::{io::Write, path::Path};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Hierarchy, NodeKind, Sizes};
use crate::{Error, staged::Staged};

/// Nodes of one view that are in the page, the biggest; what is left out is summed up.
const NODES: usize = 20_000;
/// Characters of a label; the middle of a longer one is left out.
const LABEL: usize = 300;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Writes the page to a file, which appears whole or not at all. `name` is the image's, for the heading.
pub fn write_html(dest: &Path, name: &str, platform: &str, sizes: &Sizes) -> Result<(), Error> {
    let write = || {
        let mut staged = Staged::new(dest)?;
        staged.file.write_all(html(name, platform, sizes).as_bytes())?;
        staged.publish(false, None).map(|(path, _)| path)
    };
    write().map(drop).map_err(Error::write(dest))
}

/// The page.
pub fn html(name: &str, platform: &str, sizes: &Sizes) -> String {
    let by_package = sizes.packages.iter().map(|tree| view("Packages", tree));
    let views: Vec<Value> = [view("Directories", &sizes.directories)].into_iter().chain(by_package).collect();
    let data = json!({"name": name, "platform": platform, "views": views}).to_string();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    // `<` is only ever inside of JSON's strings, where its escape means the same; so no name ends the script.
    let data = data.replace('<', "\\u003c");
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + data.len());
    for (at, part) in PAGE.split("{{").enumerate() {
        let (field, text) = if at == 0 { ("", part) } else { part.split_once("}}").unwrap_or_default() };
        page += match field {
            "policy" => &policy,
            "style" => STYLE,
            "script" => SCRIPT,
            "data" => &data,
            _ => "",
        };
        page += text;
    }
    page
}

/// A tree's biggest nodes as rows: number of the parent's row, label, bytes, files, kind. Parents come first.
fn view(title: &str, tree: &Hierarchy) -> Value {
    let is_in = tree.biggest(NODES);
    let mut rows: Vec<Value> = Vec::new();
    let mut row_of = vec![0; tree.nodes().len()];
    for (number, node) in tree.nodes().iter().enumerate().filter(|(number, _)| is_in[*number]) {
        row_of[number] = rows.len();
        let kind = match node.kind {
            NodeKind::Dir => 0,
            NodeKind::File => 1,
            NodeKind::Package => 2,
            NodeKind::Rest => 3,
        };
        rows.push(json!([row_of[node.parent as usize], label(&node.label), node.bytes, node.files, kind]));
    }
    json!({"title": title, "nodes": rows})
}

fn label(text: &str) -> String {
    let length = text.chars().count();
    if length <= LABEL {
        return text.into();
    }
    let (head, tail) = (text.chars().take(LABEL / 2), text.chars().skip(length - LABEL / 2));
    head.chain(['…']).chain(tail).collect()
}

/// A text's sha256 in base64, as a policy has it.
fn hash(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = Sha256::digest(text);
    let group = |bytes: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*bytes.get(at).unwrap_or(&0)));
        (0..4)
            .map(move |at| if at <= bytes.len() { DIGITS[bits >> (18 - 6 * at) & 63] as char } else { '=' })
            .collect::<String>()
    };
    digest.chunks(3).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_other_programs() {
        // printf '' | openssl dgst -sha256 -binary | base64
        assert_eq!(hash(""), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn long_labels_lose_their_middle() {
        assert_eq!(label("ä"), "ä");
        let long = label(&format!("start{}end", "ä".repeat(1000)));
        assert!(long.starts_with("start") && long.ends_with("end") && long.chars().count() == LABEL + 1, "{long}");
    }
}
