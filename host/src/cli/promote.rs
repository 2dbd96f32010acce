//! `millstream promote`: what became of a version on trial, and whether it comes into force.

use std::process::ExitCode;

use millstream_web::types::trials::{Cost, Probation, Trial};
use serde_json::Value;
use ureq::http::Method;

use super::client::{Call, Client, Connection, Target, finish, print, print_json};
use super::deploy::{DEPLOY_TIME_MAX, report};

/// Arguments of `millstream promote`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  millstream deploy access-counts/extract-ip extract_ip.wasm --shadow\n  \
    millstream promote access-counts/extract-ip --report\n  millstream promote access-counts/extract-ip\n\n\
    Exit codes: 0 done; 1 failed, or nothing is on trial; 2 wrong arguments; 3 no host answers.")]
pub struct Args {
    /// Pipeline and function
    #[arg(value_name = "PIPELINE/FUNCTION")]
    target: Target,
    /// Only say how the last version that was tried fares beside the one in force
    #[arg(long, conflicts_with = "abandon")]
    report: bool,
    /// Give it up: the version in force stays
    #[arg(long)]
    abandon: bool,
    /// Print the host's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Runs `millstream promote`.
///
/// # Errors
/// What went wrong, for people.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    finish(promote(args))
}

fn promote(args: &Args) -> anyhow::Result<ExitCode> {
    let Target { pipeline, function } = &args.target;
    let client = Client::find(&args.connection, Some(pipeline))?;
    let (method, what) = match (args.report, args.abandon) {
        (true, _) => (Method::GET, "probation"),
        (_, true) => (Method::DELETE, "probation"),
        _ => (Method::POST, "promote"),
    };
    let promotes = method == Method::POST;
    let call = Call {
        method,
        path: &format!("/v1/functions/{function}/{what}"),
        query: &[("pipeline", pipeline)],
        body: promotes.then_some(("application/json", b"".as_slice())),
        time_max: DEPLOY_TIME_MAX,
    };
    if promotes {
        return report(client.json(&call), args.json);
    }
    let probation: Probation = client.json(&call)?;
    if args.json {
        print_json(&probation)?;
    } else {
        print(told(&probation).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn told(probation: &Probation) -> String {
    let Probation { function, digest, origin, open, held, hosts } = probation;
    let standing = match (open, held) {
        (true, true) => "on trial until it is promoted",
        (true, false) => "on trial",
        (false, _) => "not on trial any more; `millstream history` says what came of it",
    };
    let mut out = format!("{function}: {standing}\n  digest    {digest}\n  origin    {origin}\n");
    let trials: Vec<Trial> = hosts.values().cloned().collect();
    out.push_str(&if trials.is_empty() { "  no host has told of it yet\n".to_string() } else { self::trials(&trials) });
    out
}

/// What hosts saw of a version, in words.
pub(super) fn trials(all: &[Trial]) -> String {
    let sum = |of: &dyn Fn(&Trial) -> u64| all.iter().map(of).sum::<u64>();
    let (outputs, differing) = (sum(&|t| t.outputs), sum(&|t| t.differing));
    let (records, compared) = (sum(&|t| t.records), sum(&|t| t.compared));
    let hosts = if all.len() == 1 { "1 host".to_string() } else { format!("{} hosts", all.len()) };
    if compared == 0 {
        let mut out = format!("on trial on {hosts}: not exercised, no record came that was compared\n");
        notes(&mut out, all);
        return out;
    }
    let mut out = format!("on trial on {hosts}: {differing} of {outputs} outputs differ\n");
    let share = 100.0 * compared as f64 / records.max(1) as f64;
    out.push_str(&format!("  records   {compared} of {records} compared ({share:.0} %)\n"));
    let replayed = sum(&|t| t.replayed);
    if replayed > 0 {
        out.push_str(&format!("  replayed  {replayed} of them had come before\n"));
    }
    let keys = all.iter().map(|t| t.keys_share).fold(1.0, f64::min);
    if keys < 1.0 {
        out.push_str(&format!("  keys      {:.1} % were followed where it was least\n", 100.0 * keys));
    }
    let idle: Vec<&str> = all.iter().filter(|t| !t.exercised).map(|t| t.host.as_str()).collect();
    if !idle.is_empty() {
        out.push_str(&format!("  idle      not exercised on {}\n", idle.join(", ")));
    }
    let cost = |of: &dyn Fn(&Trial) -> &Cost| {
        let weighed = all.iter().filter_map(|t| Some((of(t).ns_per_record?, t.compared as f64)));
        let (ns, weight) =
            weighed.fold((0.0, 0.0), |(ns, weight), (one, records)| (ns + one * records, weight + records));
        let memory = all.iter().map(|t| of(t).memory_bytes).max().unwrap_or(0);
        format!("{:.0} ns a record, {} KiB", if weight > 0.0 { ns / weight } else { 0.0 }, memory >> 10)
    };
    out.push_str(&format!("  cost      {} (in force: {})\n", cost(&|t| &t.new), cost(&|t| &t.old)));
    notes(&mut out, all);
    for example in all.iter().flat_map(|t| &t.examples).take(SHOWN_MAX) {
        let at = example.position.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
        let window = example.window.map(|(start, end)| format!(" in [{start}, {end})")).unwrap_or_default();
        out.push_str(&format!(
            "  key {}{at}{window}\n    in force  {}\n    on trial  {}\n",
            plain(&example.key),
            plain(&example.old),
            plain(&example.new)
        ));
    }
    out
}

/// Examples that are shown, of all hosts together.
const SHOWN_MAX: usize = 10;

fn notes(out: &mut String, all: &[Trial]) {
    let mut said: Vec<&String> = all.iter().flat_map(|t| &t.notes).collect();
    said.sort();
    said.dedup();
    said.iter().for_each(|note| out.push_str(&format!("  note      {note}\n")));
    for trial in all {
        if let Some(why) = &trial.failed {
            out.push_str(&format!("  failed    on {}: {why}\n", trial.host));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_web::types::trials::Example;
    use serde_json::json;

    #[test]
    fn trials_are_told_together() {
        let one = Trial {
            host: "a".into(),
            exercised: true,
            records: 100,
            compared: 50,
            replayed: 30,
            keys_share: 0.5,
            outputs: 40,
            differing: 2,
            new: Cost { ns_per_record: Some(20.0), memory_bytes: 65_536 },
            old: Cost { ns_per_record: Some(10.0), memory_bytes: 131_072 },
            examples: vec![Example {
                key: json!("k"),
                position: Some("in:0:7".into()),
                window: None,
                old: json!({ "value": "1" }),
                new: json!({ "value": "2" }),
            }],
            ..Trial::default()
        };
        let idle = Trial { host: "b".into(), keys_share: 1.0, ..Trial::default() };
        let told = trials(&[one, idle.clone()]);
        for part in [
            "on 2 hosts: 2 of 40 outputs differ",
            "50 of 100 compared (50 %)",
            "replayed  30 of them had come before",
            "50.0 % were followed",
            "not exercised on b",
            "20 ns a record, 64 KiB (in force: 10 ns a record, 128 KiB)",
            "key k at in:0:7\n    in force  {\"value\":\"1\"}",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(trials(&[idle]).contains("not exercised, no record came"));
    }
}
