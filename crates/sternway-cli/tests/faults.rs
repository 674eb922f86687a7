//! What can happen to a run, at every point of the demo's journeys: a connection is cut, the server
//! falls and rises again, the program is killed. Afterwards it is finished or taken back, and then the
//! database is at one end of the journey, with the rows that belong there, bit for bit.
//!
//! `STERNWAY_TEST_EVERY_FAULT=1` strikes everywhere; without it, only so often that the tests end in
//! time.

#![cfg(all(feature = "embedded", unix))]
#![allow(clippy::print_stdout, reason = "the number of faults is to be read")]

#[path = "faults/proxy.rs"]
mod proxy;
#[path = "faults/statements.rs"]
mod statements;
mod support;
#[path = "faults/throwaway.rs"]
mod throwaway;
#[path = "faults/voyage.rs"]
mod voyage;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::Arc;

use proxy::{Proxy, Strike};
use support::Run;
use throwaway::Throwaway;
use voyage::{Fault, Harbour};

/// One in so many points, unless all are asked for.
fn stride(ordinary: usize) -> usize {
    if std::env::var_os("STERNWAY_TEST_EVERY_FAULT").is_some() { 1 } else { ordinary }
}

/// A line that breaks, in turns before the server has a request and before the client has its answer.
struct Cut {
    proxy: Proxy,
    strike: Strike,
}

impl Fault for Cut {
    fn strike(&mut self, program: Command, n: usize) -> (Option<String>, Run) {
        self.proxy.arm(n, self.strike.clone());
        let ran = Run::of(program);
        (self.proxy.disarm(), ran)
    }

    fn points(&self, _: usize) -> usize {
        self.proxy.requests()
    }
}

fn cut(test: &str, strike: Strike) {
    let Some(server) = Throwaway::new(test) else { return };
    let proxy = Proxy::to(server.port);
    let harbour = Harbour::new(server.url(proxy.port), server.url(server.port), None);
    let tally = harbour.sail(stride(41), &mut Cut { proxy, strike });
    println!("{test}: {tally}");
}

#[test]
fn the_line_breaks_before_the_server_has_the_request() {
    cut("requests lost", Strike::Lost);
}

#[test]
fn the_line_breaks_before_the_client_has_the_answer() {
    cut("answers lost", Strike::Unanswered);
}

#[test]
fn the_server_falls() {
    let test = "restarts of the server";
    let (Some(server), Some(shadow)) = (Throwaway::new(test), Throwaway::new(test)) else { return };
    let proxy = Proxy::to(server.port);
    let shadow = Some(shadow.url(shadow.port));
    let harbour = Harbour::new(server.url(proxy.port), server.url(server.port), shadow);
    let strike = Strike::Then(Arc::new(server.restart()));
    let tally = harbour.sail(stride(37), &mut Cut { proxy, strike });
    println!("{test}: {tally}");
}

/// A `kill -9`.
struct Kill;

impl Fault for Kill {
    fn strike(&mut self, mut program: Command, n: usize) -> (Option<String>, Run) {
        program.env("FAILPOINTS", n.to_string());
        let output = program.output().expect("the program");
        let ran = Run::ended_as(format!("{program:?}"), &output);
        let killed = output.status.signal().is_some();
        let last = ran.stderr.lines().last().unwrap_or_default().to_owned();
        (killed.then_some(last), ran)
    }

    fn points(&self, n: usize) -> usize {
        n
    }
}

#[test]
fn the_program_is_killed() {
    let test = "kills of the program";
    let Some(server) = Throwaway::new(test) else { return };
    let url = server.url(server.port);
    let harbour = Harbour::new(url.clone(), url, None);
    let tally = harbour.sail(stride(7), &mut Kill);
    println!("{test}: {tally}");
}
