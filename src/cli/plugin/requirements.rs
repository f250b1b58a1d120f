//! `mozaiks plugin install-requirements`: what plugins require, installed ahead of a gateway that serves them.

use std::path::{Path, PathBuf};

use super::{
    super::{Failure, doctor::interpreter, flags::ConfigFlags, print},
    inspect::Inspection,
};
use mozaiks_config::Config;
use mozaiks_plugins::{
    discovery::{self, Found},
    manifest,
    origin::Origin,
};
use mozaiks_python::BUILD_VERSION;
use mozaiks_requirements::{
    Missing, Process, Provided, Requirement, RequirementsError, Sites, read,
};

#[derive(Debug, clap::Args)]
pub(super) struct InstallArgs {
    /// Only those of these plugins.
    names: Vec<String>,
    #[command(flatten)]
    flags: ConfigFlags,
}

/// Installs for each plugin; one that fails does not keep the others from theirs.
pub(super) fn install(args: &InstallArgs) -> Result<(), Failure> {
    let config = args.flags.load(false)?.config;
    let dir = &config.plugins.dir;
    let (mut found, skipped) = discovery::discover(dir).map_err(|error| {
        let shown = dir.display();
        anyhow::anyhow!("the plugins directory {shown} cannot be read: {error}")
    })?;
    for skipped in &skipped {
        eprintln!("passed over {}: {}", skipped.dir.display(), skipped.reason);
    }
    if let Some(unknown) = (args.names.iter()).find(|name| found.iter().all(|it| it.name != **name))
    {
        let shown = dir.display();
        return Err(Failure::Usage(format!(
            "there is no plugin {unknown:?} in {shown}"
        )));
    }
    found.retain(|plugin| args.names.is_empty() || args.names.contains(&plugin.name));
    let sites = sites(&config);
    let mut all_done = true;
    for plugin in &found {
        let (done, line) = match install_one(&sites, plugin) {
            Ok(line) => (true, line),
            Err(reason) => (false, format!("FAIL  {}: {reason}", plugin.name)),
        };
        all_done &= done;
        print(&format!("{line}\n"))?;
    }
    if all_done {
        Ok(())
    } else {
        Err(Failure::Reported)
    }
}

fn install_one(sites: &Sites, plugin: &Found) -> Result<String, String> {
    let name = &plugin.name;
    let requirements = requirements_of(plugin)?;
    // Where it will run is the gateway's to decide: whether it can be there beside others is told then.
    let provided = sites
        .provide(name, &requirements, Missing::Install, Process::Own)
        .map_err(|error| match error {
            RequirementsError::NotInstallable { output, .. } => output,
            other => other.to_string(),
        })?;
    Ok(match provided {
        Provided { site: None, .. } if requirements.is_empty() => {
            format!("ok    {name}: requires nothing")
        }
        Provided { site: None, .. } => format!("ok    {name}: the environment has it all"),
        Provided {
            site: Some(site),
            is_new,
        } => {
            let had = if is_new { "installed" } else { "has" };
            let named = site.distributions.iter();
            let named: Vec<String> = named
                .map(|(name, version)| format!("{name} {version}"))
                .collect();
            format!("ok    {name}: {had} {}", named.join(", "))
        }
    })
}

fn requirements_of(plugin: &Found) -> Result<Vec<Requirement>, String> {
    let manifest = manifest::read(&plugin.dir, &plugin.name)?.manifest;
    read(&plugin.dir, &manifest.requirements)
}

fn sites(config: &Config) -> Sites {
    let python = interpreter(&config.plugins);
    Sites::new(
        &config.plugins.requirements,
        &config.data_dir,
        python,
        BUILD_VERSION,
    )
}

/// Where what a plugin requires is installed; what is wrong with its requirements is added.
pub(super) fn site_of(
    config: &Config,
    plugin: &Found,
    inspection: &mut Inspection,
) -> Option<PathBuf> {
    let manifest = manifest::read(&plugin.dir, &plugin.name).ok()?.manifest;
    match read(&plugin.dir, &manifest.requirements) {
        Ok(requirements) if requirements.is_empty() => None,
        Ok(requirements) => sites(config).find(&plugin.name, &requirements),
        Err(reason) => {
            inspection.errors.push(reason);
            None
        }
    }
}

/// Where what the plugin in a directory requires is installed.
pub(super) fn installed_for(config: &Config, dir: &Path) -> Option<PathBuf> {
    let name = dir.file_name()?.to_str()?.to_owned();
    let plugin = Found {
        name,
        dir: dir.to_owned(),
        entry: None,
        origin: Origin::Directory,
    };
    let requirements = requirements_of(&plugin).ok()?;
    (!requirements.is_empty())
        .then(|| sites(config).find(&plugin.name, &requirements))
        .flatten()
}
