//! A wire that can be cut: bytes then neither pass nor bounce, as in a real partition.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

pub struct Wire {
    pub address: SocketAddr,
    /// There, and back.
    open: [watch::Sender<bool>; 2],
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let open = [watch::Sender::new(true), watch::Sender::new(true)];
        let task = tokio::spawn(carry(listener, target, open.clone()));
        Self { address, open, task }
    }

    pub fn cut(&self) {
        self.cut_there();
        self.cut_back();
    }

    pub fn cut_there(&self) {
        self.open[0].send_replace(false);
    }

    pub fn cut_back(&self) {
        self.open[1].send_replace(false);
    }

    pub fn mend(&self) {
        for open in &self.open {
            open.send_replace(true);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(listener: TcpListener, target: SocketAddr, open: [watch::Sender<bool>; 2]) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let (mut there, mut back) = (open[0].subscribe(), open[1].subscribe());
        connections.spawn(async move {
            // TCP's handshake needs both ways.
            if wait(&mut there).await.is_none() || wait(&mut back).await.is_none() {
                return;
            }
            let Ok(far) = TcpStream::connect(target).await else { return };
            let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
            let (near_in, near_out) = near.into_split();
            let (far_in, far_out) = far.into_split();
            tokio::select! {
                () = copy(near_in, far_out, there) => {}
                () = copy(far_in, near_out, back) => {}
            }
        });
    }
}

async fn wait(gate: &mut watch::Receiver<bool>) -> Option<()> {
    gate.wait_for(|open| *open).await.ok().map(|_| ())
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut gate: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let Ok(length) = from.read(&mut bytes).await else { return };
        if length == 0 || wait(&mut gate).await.is_none() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
