//! The tokens of one cluster, made ahead of their time.
//!
//! Owns the newest token and the task that makes the next. A request takes what is there; one that may be too old is not
//! given. A token is a secret for as long as it lives: nothing here can be printed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use jiff::Timestamp;
use parking_lot::Mutex;
use spark_router_member::{Bearer, NoToken, error::chain};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::{
    Tempo,
    life::{Life, Moment},
    token::presign,
};

/// Credentials that take longer are not there.
const CREDENTIALS: Duration = Duration::from_secs(30);

/// What tokens are made of.
pub(super) struct Maker {
    /// Asked anew for each token: so a role's session never has less time left than the token.
    pub(super) credentials: SharedCredentialsProvider,
    pub(super) region: String,
    /// The public address of STS there.
    pub(super) sts: String,
    pub(super) cluster: String,
}

struct Token {
    text: Arc<str>,
    life: Life,
    refused: bool,
}

/// See the module. Dropping it ends the task.
pub(super) struct Tokens {
    shared: Arc<Shared>,
    lost: Arc<Notify>,
    _keeper: AbortOnDropHandle<()>,
}

struct Shared {
    tempo: Tempo,
    newest: Mutex<Option<Token>>,
    trouble: Mutex<Option<String>>,
    renew: Notify,
}

impl Maker {
    async fn make(&self) -> Result<Token, String> {
        let asked = tokio::time::timeout(CREDENTIALS, self.credentials.provide_credentials()).await;
        let credentials = match asked {
            Ok(Ok(credentials)) => credentials,
            Ok(Err(error)) => return Err(chain(&error)),
            Err(_) => return Err(format!("no credentials within {} s", CREDENTIALS.as_secs())),
        };
        let made = Moment::now();
        let at = (self.region.as_str(), self.sts.as_str());
        let text = presign(&credentials, at, &self.cluster, SystemTime::from(made.wall));
        let text = text.map_err(|error| chain(&error))?;
        let ends = credentials.expiry().and_then(|ends| Timestamp::try_from(ends).ok());
        Ok(Token { text: text.into(), life: Life { made, ends }, refused: false })
    }
}

impl Tokens {
    /// Begins to make them. `lost` is told when the server does not answer.
    pub(super) fn start(maker: Maker, tempo: Tempo, lost: Arc<Notify>, member: String) -> Arc<Self> {
        let (newest, trouble, renew) = (Mutex::default(), Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { tempo, newest, trouble, renew });
        let keeper = tokio::spawn(keep(shared.clone(), maker, member));
        Arc::new(Self { shared, lost, _keeper: AbortOnDropHandle::new(keeper) })
    }

    /// Why the next one cannot be made.
    pub(super) fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }
}

impl Bearer for Tokens {
    fn token(&self) -> Result<Arc<str>, NoToken> {
        let newest = self.shared.newest.lock();
        let now = Moment::now();
        if let Some(token) = &*newest
            && token.life.is_usable(now, &self.shared.tempo.ages)
        {
            return Ok(token.text.clone());
        }
        drop(newest);
        // After a sleep of the machine nobody has looked yet.
        self.shared.renew.notify_one();
        Err(NoToken(self.trouble().unwrap_or_else(|| "it is being made".to_owned())))
    }

    fn refused(&self, token: &str) {
        let mut newest = self.shared.newest.lock();
        if let Some(newest) = newest.as_mut()
            && *newest.text == *token
        {
            newest.refused = true;
            self.shared.renew.notify_one();
        }
    }

    fn unanswered(&self) {
        self.lost.notify_one();
    }
}

impl Shared {
    fn is_due(&self) -> bool {
        let newest = self.newest.lock();
        let is_due = |token: &Token| token.life.is_due(Moment::now(), &self.tempo.ages, token.refused);
        newest.as_ref().is_none_or(is_due)
    }
}

async fn keep(shared: Arc<Shared>, maker: Maker, member: String) {
    let Tempo { look_every, make_again: (first, most), .. } = shared.tempo;
    let mut wait = first;
    loop {
        if shared.is_due() {
            match maker.make().await {
                Ok(token) => {
                    debug!(cluster.name = member, "a token is made");
                    *shared.newest.lock() = Some(token);
                    *shared.trouble.lock() = None;
                    wait = first;
                }
                Err(why) => {
                    warn!(cluster.name = member, why, "no token can be made");
                    *shared.trouble.lock() = Some(why);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(most);
                    continue;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(look_every) => {}
            () = shared.renew.notified() => {}
        }
    }
}
