//! Finds a witness that answers: each in turn, with a deadline, and says why if none does.

use clap::Args;
use model::{GroupStatus, Millis, SiteId};
use rpc::client::{ChannelTiming, Expected, channel, reason, within};
use rpc::identity::Role;
use rpc::tls::{Identity, TlsFiles};
use rpc::tonic::{Code, Status, transport::Channel};
use rpc::v1;
use std::fmt;
use std::path::PathBuf;

/// One witness is asked for at most this long.
pub const CALL_DEADLINE: Millis = Millis(3_000);
/// A change is committed before it is answered: a leader change fits in.
pub const CHANGE_DEADLINE: Millis = Millis(8_000);

/// Where the witnesses are, and who is asking.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// operator.toml; $TRIPOINT_HOME/operator.toml or /etc/tripoint/operator.toml without it
    #[arg(long = "config", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Witnesses instead of the file's
    #[arg(long, env = "TRIPOINT_WITNESSES", value_name = "HOST:PORT,...", value_delimiter = ',')]
    pub witnesses: Vec<String>,
    /// The group's CA certificate instead of the file's
    #[arg(long, env = "TRIPOINT_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Your certificate instead of the file's
    #[arg(long, env = "TRIPOINT_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Your private key instead of the file's
    #[arg(long, env = "TRIPOINT_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The target, if the arguments alone say all.
    #[must_use]
    pub fn complete(&self) -> Option<Target> {
        let (Some(ca), Some(cert), Some(key)) = (&self.ca, &self.cert, &self.key) else { return None };
        if self.witnesses.is_empty() {
            return None;
        }
        let target = Target { witnesses: Vec::new(), ca: ca.clone(), cert: cert.clone(), key: key.clone() };
        Some(self.over(target))
    }

    /// What the arguments say wins over what the file says.
    #[must_use]
    pub fn over(&self, mut target: Target) -> Target {
        if !self.witnesses.is_empty() {
            let named = |address: &String| Witness { site: None, address: address.clone() };
            target.witnesses = self.witnesses.iter().map(named).collect();
        }
        for (given, place) in
            [(&self.ca, &mut target.ca), (&self.cert, &mut target.cert), (&self.key, &mut target.key)]
        {
            if let Some(path) = given {
                place.clone_from(path);
            }
        }
        target
    }
}

/// One witness, as a person's commands reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its site, if it is known: then the certificate must name it.
    pub site: Option<SiteId>,
    /// "host:port".
    pub address: String,
}

/// The witnesses and the own identity.
#[derive(Clone, Debug)]
pub struct Target {
    /// Asked in this order.
    pub witnesses: Vec<Witness>,
    /// The group's CA certificate.
    pub ca: PathBuf,
    /// The own certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why a command has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Certificates or their files.
    Identity(String),
    /// No witness answered; each with the reason.
    Unreachable(Vec<(String, String)>),
    /// A witness answered that the group can't decide anything now.
    NoQuorum(String),
    /// A witness refused.
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity(text) | Self::Refused(text) => f.write_str(text),
            Self::NoQuorum(text) => write!(f, "the group can't decide now: {text}"),
            Self::Unreachable(tries) => {
                f.write_str("no witness answers:")?;
                for (address, why) in tries {
                    write!(f, "\n  {address}: {why}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// The exit code that tells of it.
    #[must_use]
    pub const fn exit(&self) -> crate::Exit {
        match self {
            Self::Identity(_) => crate::Exit::Usage,
            Self::Unreachable(_) => crate::Exit::Unreachable,
            Self::NoQuorum(_) => crate::Exit::Stale,
            Self::Refused(_) => crate::Exit::Failed,
        }
    }
}

/// All witnesses, each behind a connection that is made when it is first needed.
#[derive(Clone)]
pub struct Client {
    places: Vec<(String, Channel)>,
}

impl Client {
    /// Reads the identity. Must be called within a tokio runtime; nothing is dialled yet.
    ///
    /// # Errors
    /// [`Failure::Identity`].
    pub fn new(target: &Target) -> Result<Self, Failure> {
        let files = TlsFiles { ca: target.ca.clone(), cert: target.cert.clone(), key: target.key.clone() };
        let identity = Identity::load(&files).map_err(|error| Failure::Identity(error.to_string()))?;
        let place = |witness: &Witness| {
            let name = witness.site.as_ref().map(ToString::to_string);
            let expected = Expected { role: Role::Witness, name };
            (
                witness.address.clone(),
                channel(&witness.address, &identity, expected, ChannelTiming::default()),
            )
        };
        Ok(Self { places: target.witnesses.iter().map(place).collect() })
    }

    /// One call at each witness in turn until one answers.
    ///
    /// # Errors
    /// A refusal ends the round; otherwise all that was tried.
    pub async fn each<T, F, Fut>(&self, limit: Millis, call: F) -> Result<T, Failure>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<T, Status>>,
    {
        let mut tries = Vec::new();
        for (address, channel) in &self.places {
            match within(limit, call(channel.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(status) if is_transient(&status) => tries.push((address.clone(), reason(&status))),
                Err(status) => return Err(refused(&status, &tries)),
            }
        }
        Err(Failure::Unreachable(tries))
    }

    /// The status: linearizable, or one witness's own view.
    ///
    /// # Errors
    /// No witness gives one.
    pub async fn status(&self, stale: bool) -> Result<(GroupStatus, String), Failure> {
        let answer = self
            .each(CALL_DEADLINE, |channel| async move {
                v1::status_client::StatusClient::new(channel).get(v1::StatusRequest { stale }).await
            })
            .await?
            .into_inner();
        let status = parse(&answer.json)?;
        Ok((status, answer.json))
    }

    /// Turns "no answer" into "no quorum" if a witness answers for itself.
    pub async fn explain_silence(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Unreachable(tries) => match self.status(true).await {
                Ok((status, _)) => Failure::NoQuorum(no_quorum(&status, &tries)),
                Err(_) => Failure::Unreachable(tries),
            },
            other => other,
        }
    }
}

/// Reads a status as a witness sends it.
///
/// # Errors
/// It can't be read: the witness is of another version.
pub fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| {
        Failure::Refused(format!("the witness's answer can't be read ({error}); is it of another version?"))
    })
}

fn is_transient(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown)
}

fn refused(status: &Status, tries: &[(String, String)]) -> Failure {
    let before =
        if tries.is_empty() { "" } else { " (an earlier try had no answer: it may have had its effect)" };
    match status.code() {
        Code::FailedPrecondition | Code::InvalidArgument | Code::NotFound | Code::AlreadyExists => {
            Failure::Refused(format!("{}{before}", status.message()))
        }
        _ => Failure::Refused(format!("{}{before}", reason(status))),
    }
}

fn no_quorum(status: &GroupStatus, tries: &[(String, String)]) -> String {
    let reached = status.witnesses.iter().filter(|w| w.reachable || w.site == status.answered_by).count();
    let why = tries.first().map_or("", |(_, why)| why.as_str());
    let all = status.witnesses.len();
    format!(
        "the witness {} reaches {reached} of {all} witnesses, itself included ({why})",
        status.answered_by
    )
}
