//! `mozaiks plugin logs`: what a plugin of a running gateway logged, printed and raised.

use std::io::Write as _;

use serde_json::{Map, Value};

use super::super::{
    Failure,
    remote::{RemoteArgs, printable, segment},
};

/// What every line has, in the order of printing.
const HEAD: [&str; 3] = ["timestamp", "level", "message"];
/// What says nothing here: the plugin was named, and the rest is for machines.
const LEFT_OUT: [&str; 4] = ["cursor", "target", "plugin.name", "app.id"];

#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    /// The plugin.
    name: String,
    /// Go on with lines as they come, until interrupted.
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest lines, up to 1000.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
    /// One JSON object a line, as the gateway gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) fn run(args: &LogsArgs) -> Result<(), Failure> {
    let remote = args.remote.connect()?;
    let path = format!(
        "/api/plugins/registry/{}/logs?limit={}",
        segment(&args.name),
        args.lines
    );
    if args.follow {
        remote.lines(&format!("{path}&follow=true"), |line| show(line, args.json))?;
        return Err(anyhow::anyhow!("the gateway has ended the stream").into());
    }
    let answer = remote.get(&path)?;
    for line in answer["logs"].as_array().into_iter().flatten() {
        show(&line.to_string(), args.json)?;
    }
    Ok(())
}

fn show(line: &str, as_json: bool) -> Result<(), Failure> {
    if line.is_empty() {
        // A sign of life.
        return Ok(());
    }
    let shown = match serde_json::from_str(line) {
        Ok(Value::Object(line)) if !as_json => readable(&line),
        _ => printable(line),
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{shown}")?;
    Ok(out.flush()?)
}

/// Time, level, message, then what else there is; a traceback under it.
fn readable(line: &Map<String, Value>) -> String {
    if let Some(missed) = line.get("missed") {
        return format!("… {missed} lines went by unread");
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let head = HEAD.iter().filter_map(|name| line.get(*name)).map(text);
    let mut shown: Vec<String> = head.collect();
    let mut below = String::new();
    for (name, value) in line {
        if HEAD.contains(&&**name) || LEFT_OUT.contains(&&**name) {
            continue;
        }
        match value {
            // A traceback.
            Value::String(text) if text.contains('\n') => {
                below.push_str(&format!(
                    "\n    {}",
                    text.trim_end().replace('\n', "\n    ")
                ));
            }
            value => shown.push(format!("{name}={value}")),
        }
    }
    printable(&(shown.join(" ") + &below))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_readable_and_steers_no_terminal() {
        let line = json!({
            "cursor": "1-2", "timestamp": "T", "level": "ERROR", "message": "raised \u{1b}[2J",
            "plugin.name": "shop", "target": "plugin", "order": 7, "who": "a b",
            "traceback": "Traceback\n  File\n",
        });
        assert_eq!(
            readable(line.as_object().unwrap()),
            "T ERROR raised \u{fffd}[2J order=7 who=\"a b\"\n    Traceback\n      File"
        );
        let missed = json!({"missed": 3});
        assert!(readable(missed.as_object().unwrap()).contains("3 lines"));
    }
}
