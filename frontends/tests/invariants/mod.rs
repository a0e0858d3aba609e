//! What holds for any input of the parsers: no panic, spans that fit the source, a tree that survives being written
//! and read. Property tests and fuzz targets ask for the same.

use routerpack_frontends::dockerfile::ast::Word;
use routerpack_frontends::dockerfile::directive::detect_syntax;
use routerpack_frontends::dockerfile::expand::{Expander, Quotes};
use routerpack_frontends::dockerfile::instruction::{Command, Device};
use routerpack_frontends::dockerfile::mount::Mount;
use routerpack_frontends::dockerfile::parser::parse_trigger;
use routerpack_frontends::dockerfile::statement::{Arguments, Statement, Statements};
use routerpack_frontends::dockerfile::{Dockerfile, LineIndex, Span, ignorefile};

fn fits(source: &str, span: Span) -> bool {
    span.start <= span.end && source.get(span.range()).is_some()
}

/// All spans of a statement.
fn spans(statement: &Statement) -> Vec<Span> {
    let mut spans: Vec<Span> = [statement.keyword.span, statement.span].into();
    let mut words = |list: &[Word]| spans.extend(list.iter().map(|word| word.span));
    words(&statement.comments);
    words(&statement.flags);
    match &statement.arguments {
        Arguments::List(list) => words(list),
        Arguments::Pairs(pairs) => pairs.iter().for_each(|pair| words(&[pair.key.clone(), pair.value.clone()])),
        Arguments::Trigger(trigger) => spans.extend(self::spans(trigger)),
    }
    spans.extend(statement.heredocs.iter().map(|heredoc| heredoc.span));
    spans.extend(statement.empty_continuation);
    spans
}

/// Any text is read as a Dockerfile or refused, and every span lies within it.
pub fn reading(source: &str) {
    let read = Statements::read(source);
    let index = LineIndex::new(source);
    for statement in &read.statements {
        for span in spans(statement) {
            assert!(fits(source, span), "{span:?} of {statement:?}");
        }
        for heredoc in &statement.heredocs {
            assert_eq!(heredoc.span.of(source), heredoc.content);
        }
        assert!(statement.lines.start <= statement.lines.end && statement.lines.end <= index.len());
        assert!(index.line(statement.keyword.span.start) >= statement.lines.start);
    }
    for diagnostic in &read.diagnostics {
        assert!(fits(source, diagnostic.span), "{diagnostic:?}");
    }
    match Dockerfile::parse(source) {
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty());
            assert!(diagnostics.iter().all(|d| fits(source, d.span)), "{diagnostics:?}");
        }
        Ok(file) => {
            assert!(file.warnings.iter().all(|d| fits(source, d.span)));
            for instruction in file.instructions() {
                if let Command::Onbuild(onbuild) = &instruction.command {
                    let _ = parse_trigger(&onbuild.expression);
                }
            }
        }
    }
    if let Some(syntax) = detect_syntax(source) {
        assert!(fits(source, syntax.span), "{syntax:?}");
    }
}

/// Writes statements so that reading them gives the same.
fn print(read: &Statements) -> String {
    let mut text = if read.escape == '`' { "# escape=`\n".to_owned() } else { String::new() };
    for statement in &read.statements {
        text += &format!("{}\n", statement.original);
        for heredoc in &statement.heredocs {
            text += &format!("{}{}\n", heredoc.content, heredoc.name);
        }
    }
    text
}

/// Reading, writing and reading again gives the same statements. Says whether there was anything to write: not
/// so for a file with errors, and for what the writer can't write. That is a line that lost its continuation at the
/// end of the file, and so ends in the escape character; and a byte order mark that is none, because it doesn't
/// begin the file.
pub fn printing(source: &str) -> bool {
    let read = Statements::read(source);
    let writable = |s: &Statement| {
        !s.original.is_empty() && !s.original.ends_with(read.escape) && !s.original.starts_with('\u{feff}')
    };
    if !read.diagnostics.is_empty() || !read.statements.iter().all(writable) {
        return false;
    }
    let printed = print(&read);
    let again = Statements::read(&printed);
    assert!(again.diagnostics.is_empty(), "{printed}: {:?}", again.diagnostics);
    assert_eq!(print(&again), printed);
    assert_eq!(again.statements.len(), read.statements.len());
    for (a, b) in again.statements.iter().zip(&read.statements) {
        let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
        assert_eq!(a.original, b.original);
        assert_eq!(texts(&a.flags), texts(&b.flags));
        assert_eq!(texts(a.arguments.words()), texts(b.arguments.words()));
        assert_eq!(a.heredocs.len(), b.heredocs.len());
    }
    true
}

/// Any word is expanded by all rules or refused. Gives what all of it cost.
pub fn expanding(word: &str, value: &str, escape: char) -> usize {
    let env = [("x".to_owned(), value.to_owned())];
    let mut work = 0;
    for quotes in [Quotes::Remove, Quotes::Keep, Quotes::Ignore] {
        for keep in [false, true] {
            let expander = Expander { escape, quotes, keep_escapes: keep, keep_unset: keep };
            let Ok(expansion) = expander.expand(word, &env[..]) else { continue };
            work += expansion.work;
            if word.contains(['$', '\'', '"', '<', escape]) {
                continue;
            }
            // Text without anything special is its own expansion.
            assert_eq!(expansion.text, word);
            assert_eq!(expansion.words, word.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        }
    }
    work
}

/// Any value of `--mount` and `--device` is read or refused.
pub fn mounting(value: &str) {
    let checked = Mount::check(value);
    let parsed = Mount::parse(value, |text| Ok(text.to_owned()));
    assert!(checked.is_ok() || parsed.is_err() || value.to_ascii_lowercase().contains("from"), "{value}: {checked:?}");
    let _ = Device::parse(value);
}

/// Any ignore file is read or refused; reading what came out gives that again.
pub fn ignoring(text: &str) -> Vec<String> {
    let Ok(patterns) = ignorefile::read(text) else { return Vec::new() };
    // What loses its leading `/` may then begin with what means something else at the start of a line.
    let plain = |pattern: &&String| {
        let path = pattern.strip_prefix('!').unwrap_or(pattern);
        !path.starts_with(['#', '!', '\u{feff}', '/']) && !path.starts_with("./") && path.trim() == path
    };
    let kept: Vec<String> = patterns.iter().filter(plain).cloned().collect();
    assert_eq!(ignorefile::read(&kept.join("\n")).as_ref(), Ok(&kept), "{text:?}");
    patterns
}
