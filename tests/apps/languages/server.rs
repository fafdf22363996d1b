//! server.rs - std's threads, channels, locks and sockets: a line there, a line back
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

type Job = (String, mpsc::Sender<String>);

struct State {
    count: Mutex<u64>,
    ticks: AtomicU64,
    jobs: Mutex<Vec<Job>>,
    more: Condvar,
    log: Mutex<File>,
}

thread_local!(static WORKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });

fn worker(state: Arc<State>) {
    loop {
        let mut jobs = state.jobs.lock().unwrap();
        while jobs.is_empty() {
            jobs = state.more.wait_timeout(jobs, Duration::from_millis(700)).unwrap().0;
        }
        let (text, done) = jobs.pop().unwrap();
        drop(jobs);
        thread::sleep(Duration::from_millis(50));
        WORKED.with(|n| n.set(n.get() + 1));
        let _ = done.send(text.chars().rev().collect());
    }
}

fn answer(state: &State, verb: &str, rest: &str) -> String {
    match verb {
        "count" => {
            let mut n = state.count.lock().unwrap();
            *n += 1;
            n.to_string()
        }
        "ticks" => state.ticks.load(Ordering::SeqCst).to_string(),
        "file" => {
            let mut log = state.log.lock().unwrap();
            log.write_all(b"line\n").unwrap();
            (log.stream_position().unwrap() / 5).to_string()
        }
        "work" => {
            let (done, result) = mpsc::channel();
            state.jobs.lock().unwrap().push((rest.to_string(), done));
            state.more.notify_one();
            result.recv().unwrap()
        }
        _ => "?".to_string(),
    }
}

fn serve(state: Arc<State>, client: TcpStream) {
    let mut out = client.try_clone().unwrap();
    for line in BufReader::new(client).lines() {
        let Ok(line) = line else { return };
        let (verb, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        if writeln!(out, "{}", answer(&state, verb, rest)).is_err() {
            return;
        }
    }
}

fn main() {
    let port = std::env::args().nth(1).unwrap().parse::<u16>().unwrap();
    let state = Arc::new(State {
        count: Mutex::new(0),
        ticks: AtomicU64::new(0),
        jobs: Mutex::new(Vec::new()),
        more: Condvar::new(),
        log: Mutex::new(File::create("log").unwrap()),
    });
    for _ in 0..4 {
        let state = state.clone();
        thread::spawn(move || worker(state));
    }
    let timer = state.clone();
    thread::Builder::new()
        .name("timer".into())
        .spawn(move || loop {
            thread::sleep(Duration::from_millis(100));
            timer.ticks.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
    for client in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
        let state = state.clone();
        thread::spawn(move || serve(state, client.unwrap()));
    }
}
