//! A gate as a process of its own, for this crate's tests: every setting is a word
//! `name=value`, PostgreSQL's command line stands after `--`. No configuration file: that is
//! the business of `tripoint gate`.

use gate::{Config, ContainmentChoice, KernelLeaseChoice, TERMS_DEFAULT};
use model::{SiteId, StackId};
use std::collections::BTreeMap;
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut words = std::env::args();
    let mut settings = BTreeMap::new();
    for word in words.by_ref().skip(1).take_while(|word| word != "--") {
        if let Some((name, value)) = word.split_once('=') {
            settings.insert(name.to_owned(), value.to_owned());
        }
    }
    let ended = config(&settings, words.map(Into::into).collect())
        .and_then(|config| gate::run(config).map_err(|e| e.to_string()));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("gate: {e}");
            ExitCode::from(2)
        }
    }
}

fn config(settings: &BTreeMap<String, String>, command: Vec<std::ffi::OsString>) -> Result<Config, String> {
    let of = |name: &str| settings.get(name).cloned().ok_or(format!("{name}=... is missing"));
    let off = |name: &str| settings.get(name).is_some_and(|v| v == "off");
    let containment = match of("containment")?.as_str() {
        "auto" => ContainmentChoice::Auto,
        "cgroup" => ContainmentChoice::Cgroup,
        "pid-namespace" => ContainmentChoice::PidNamespace,
        "container-init" => ContainmentChoice::ContainerInit,
        "none-accepted" => ContainmentChoice::NoneAccepted,
        other => return Err(format!("containment={other}?")),
    };
    Ok(Config {
        group: "test".into(),
        site: SiteId::new("dc1").map_err(|e| e.to_string())?,
        stack: StackId::new("db").map_err(|e| e.to_string())?,
        actor_address: of("actor")?,
        tls: rpc::tls::TlsFiles { ca: of("ca")?.into(), cert: of("cert")?.into(), key: of("key")?.into() },
        state_directory: of("state")?.into(),
        data_directory: of("data")?.into(),
        command,
        run_as: settings.get("run_as").cloned(),
        port: of("port")?.parse().map_err(|_| "port=?")?,
        containment,
        kernel_lease: if off("kernel_lease") { KernelLeaseChoice::Off } else { KernelLeaseChoice::Auto },
        kernel_timer: !off("kernel_timer"),
        role_endpoint: settings.get("endpoint").and_then(|a| a.parse().ok()),
        include_file: of("include")?.into(),
        slot_wal_mib: None,
        terms: TERMS_DEFAULT,
    })
}
