//! What a review costs the webhook, beside a bare server that reads the same images and checks nothing.
//!
//! Both are processes of their own. They are loaded in turns, over connections that are kept open, and the processor time that
//! each has used is divided by the requests. The webhook's cache is warm, its decision line goes into a pipe that is read, and
//! its metrics are on.
#![expect(clippy::print_stdout, reason = "the table is the program's output")]

mod bare;
mod load;
mod reviews;
mod server;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use load::{Load, Measured};
use server::{Server, Stand};

type AnyError = Box<dyn Error + Send + Sync>;

/// Turns of each server for each review.
const ROUNDS: usize = 5;
const TURN: Duration = Duration::from_secs(1);

fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args_os().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.next() {
        Some(word) if word == bare::NAME => {
            let [certificate, key] = [arguments.next(), arguments.next()].map(|path| path.map(PathBuf::from));
            let files = certificate.zip(key).ok_or("a certificate and a key")?;
            runtime.block_on(bare::serve(&files.0, &files.1))
        }
        Some(webhook) => runtime.block_on(measure(PathBuf::from(webhook), arguments.next().is_some())),
        None => Err("usage: measure-reviews WEBHOOK [open]".into()),
    }
}

async fn measure(webhook: PathBuf, is_open: bool) -> Result<(), AnyError> {
    let stand = Stand::start().await?;
    let servers = [stand.webhook(&webhook)?, stand.bare()?];
    if is_open {
        return open_loop(&stand, &servers[0]).await;
    }
    println!(
        "{:<24} {:>10} {:>10} {:>7} {:>12} {:>12} {:>9}",
        "review", "webhook us", "bare us", "ratio", "webhook /s", "bare /s", "peak MB"
    );
    for (name, body) in reviews::all() {
        let mut rounds = [Vec::new(), Vec::new()];
        // The first answer fills the cache.
        for server in &servers {
            Load::new(&stand, server, &body).run(Duration::from_millis(300)).await?;
        }
        for _ in 0..ROUNDS {
            for (server, measured) in servers.iter().zip(&mut rounds) {
                measured.push(Load::new(&stand, server, &body).run(TURN).await?);
            }
        }
        let ratios = rounds[0].iter().zip(&rounds[1]).map(|(ours, bare)| ours.micros / bare.micros);
        let ratio = median(ratios.collect());
        let of = |round: &[Measured], part: fn(&Measured) -> f64| median(round.iter().map(part).collect());
        println!(
            "{name:<24} {:>10.1} {:>10.1} {ratio:>7.2} {:>12.0} {:>12.0} {:>9.1}",
            of(&rounds[0], |one| one.micros),
            of(&rounds[1], |one| one.micros),
            of(&rounds[0], |one| one.a_second),
            of(&rounds[1], |one| one.a_second),
            servers[0].peak_bytes()? as f64 / 1e6,
        );
    }
    Ok(())
}

/// Reviews at fixed times, each timed from when it was due.
async fn open_loop(stand: &Stand, webhook: &Server) -> Result<(), AnyError> {
    let body = reviews::mixed(3 << 10);
    Load::new(stand, webhook, &body).run(TURN).await?;
    println!("{:>8} {:>9} {:>9} {:>9} {:>8}", "a second", "p50 ms", "p99 ms", "max ms", "answered");
    for a_second in [500, 1000, 2000] {
        let mut times = Load::new(stand, webhook, &body).open(a_second, Duration::from_secs(10)).await?;
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        println!("{a_second:>8} {:>9.2} {:>9.2} {:>9.2} {:>8}", at(50), at(99), at(100), times.len());
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
