//! `mozaiks config`: the effective configuration, or the table of all keys.

use super::{Failure, flags::ConfigFlags, print};
use mozaiks_config::{effective, markdown_table};

#[derive(Debug, clap::Args)]
pub(super) struct ConfigArgs {
    /// Print the table of all keys in Markdown instead.
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    flags: ConfigFlags,
}

pub(super) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    let text = if args.markdown {
        markdown_table()
    } else {
        effective(&args.flags.load(false)?)
    };
    Ok(print(&text)?)
}
