//! A Go program's build settings (Go, `debug/buildinfo`): a blob at the start of the writable data that begins with
//! a magic text and, since Go 1.18, holds the version and the settings as texts with their lengths.

/// How the blob begins.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the blob may begin.
const ALIGN: usize = 16;
/// The fixed part before the texts.
const HEADER: usize = 32;

/// One build setting (`GOARM`) out of the start of a program's writable data.
pub(super) fn setting(data: &[u8], key: &str) -> Option<String> {
    let at = (0..data.len()).step_by(ALIGN).find(|at| data[*at..].starts_with(MAGIC))?;
    let blob = &data[at..];
    // Bit 1 of the flags: the texts follow here, rather than behind pointers (Go before 1.18, which has no settings).
    if blob.get(15)? & 2 == 0 {
        return None;
    }
    let (_version, rest) = text(blob.get(HEADER..)?)?;
    let (module, _) = text(rest)?;
    let module = String::from_utf8_lossy(module);
    module.lines().find_map(|line| {
        let value = line.strip_prefix("build\t")?.strip_prefix(key)?.strip_prefix('=')?;
        Some(value.chars().filter(|c| !c.is_control()).take(40).collect())
    })
}

/// A text with its length in front, as a varint.
fn text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift, mut used) = (0usize, 0u32, 0);
    loop {
        let byte = *data.get(used)?;
        used += 1;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let end = used.checked_add(length)?;
    Some((data.get(used..end)?, data.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(module: &str) -> Vec<u8> {
        let mut data = vec![0; 64];
        data.extend(MAGIC);
        data.extend([4, 2]);
        data.resize(64 + HEADER, 0);
        data.extend([8]);
        data.extend(b"go1.22.1");
        data.extend([(module.len() & 0x7f) as u8 | 0x80, (module.len() >> 7) as u8]);
        data.extend(module.as_bytes());
        data
    }

    #[test]
    fn settings_are_found() {
        let data = blob(&format!("{}path\tx\nbuild\tGOARCH=arm\nbuild\tGOARM=5\n", "0".repeat(200)));
        assert_eq!(setting(&data, "GOARM").as_deref(), Some("5"));
        assert_eq!(setting(&data, "GOARCH").as_deref(), Some("arm"));
        assert_eq!(setting(&data, "GOAMD64"), None);
        for cut in 0..data.len() {
            let _ = setting(&data[..cut], "GOARM");
        }
        assert_eq!(setting(b"no Go here", "GOARM"), None);
    }
}
