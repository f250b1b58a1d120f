//! Finds what a page shows: commands with what they print, Python with its file's name, commands in sentences.

use std::path::Path;

/// A command, and the lines that are shown as its output.
#[derive(Debug)]
pub struct Shown {
    pub command: String,
    pub output: Vec<String>,
}

/// The text of a file of the repository.
pub fn text(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Each fenced block of a page: its language and its lines.
fn fenced(page: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut is_open = false;
    for line in text(page).lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_open = !is_open;
            if is_open {
                blocks.push((language.trim().to_owned(), Vec::new()));
            }
        } else if is_open {
            blocks.last_mut().unwrap().1.push(line.to_owned());
        }
    }
    assert!(!is_open, "{page}: a block is not closed");
    blocks
}

/// The commands of a page in their order. `console` shows them behind `$ ` and output without, `sh` and `bash`
/// show commands alone.
pub fn commands(page: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for (language, lines) in fenced(page) {
        let is_console = language == "console";
        if !is_console && !matches!(&*language, "sh" | "bash" | "shell") {
            let hidden = lines.iter().find(|line| line.starts_with("$ "));
            assert!(
                hidden.is_none(),
                "{page}: {hidden:?} is not in a console block"
            );
            continue;
        }
        let mut goes_on = false;
        for line in lines {
            let begins = match line.strip_prefix("$ ") {
                Some(command) if is_console => Some(command),
                _ if is_console || goes_on || line.trim().is_empty() => None,
                _ if line.starts_with('#') => continue,
                _ => Some(&*line),
            };
            let piece = begins.unwrap_or(line.trim());
            let piece = without_remark(piece);
            let (piece, more) = match piece.strip_suffix('\\') {
                Some(piece) => (piece.trim_end(), true),
                None => (piece, false),
            };
            if begins.is_some() {
                shown.push(Shown {
                    command: piece.to_owned(),
                    output: Vec::new(),
                });
                goes_on = more;
            } else if goes_on {
                let command = &mut shown.last_mut().unwrap().command;
                command.push(' ');
                command.push_str(piece);
                goes_on = more;
            } else if is_console {
                let last = shown.last_mut().expect("output of a command");
                last.output.push(line.clone());
            }
        }
    }
    shown
}

fn without_remark(line: &str) -> &str {
    line.split_once("  # ")
        .or_else(|| line.split_once(" # "))
        .map_or(line, |(command, _)| command)
        .trim_end()
}

/// The files that a page shows, each with its name in its first line.
pub fn python_files(page: &str) -> Vec<(String, String)> {
    fenced(page)
        .into_iter()
        .filter(|(language, _)| language == "python")
        .filter_map(|(_, lines)| {
            let name = lines.first()?.strip_prefix("# ")?.to_owned();
            name.ends_with(".py")
                .then(|| (name, lines.join("\n") + "\n"))
        })
        .collect()
}

/// What stands between backquotes outside of blocks.
pub fn inline(page: &str) -> Vec<String> {
    let text = text(page);
    let outside: String = text.split("```").step_by(2).collect::<Vec<_>>().join(" ");
    let spans = outside.split('`').skip(1).step_by(2);
    spans
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}
