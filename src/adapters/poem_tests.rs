//! The storage's rules, on the manual clock: through poem's own middleware, and where requests overlap in
//! the order of its calls.

use pollster::block_on;

use super::framework::endpoint::make_sync;
use super::framework::http::StatusCode;
use super::framework::session::{CookieConfig, ServerSession};
use super::framework::{Endpoint, EndpointExt, Request};
use super::*;
use crate::platform::clock::ManualClock;
use crate::reaper::Reaper;
use crate::removal::OnFull;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn builder(clock: &ManualClock) -> Builder<SessionId, SessionState> {
    Cache::builder().max_entries(1_000).clock(clock.clone()).reaper(Reaper::Manual)
}

fn storage(clock: &ManualClock) -> SundownPoemStorage {
    SundownPoemStorage::new(builder(clock)).unwrap()
}

/// A browser.
#[derive(Default)]
struct Client {
    cookie: Option<String>,
}

impl Client {
    fn call(&mut self, storage: &SundownPoemStorage, act: fn(&Session)) -> StatusCode {
        let page = make_sync(move |request| act(request.extensions().get::<Session>().unwrap()));
        let config = CookieConfig::default().max_age(HOUR);
        let app = page.with(ServerSession::new(config, storage.clone()));
        let request = match &self.cookie {
            Some(id) => Request::builder().header("cookie", format!("poem-session={id}")),
            None => Request::builder(),
        };
        let response = block_on(app.get_response(request.finish()));
        if let Some(set) = response.headers().get("set-cookie") {
            let text = set.to_str().unwrap().split(';').next().unwrap();
            let id = text.strip_prefix("poem-session=").unwrap();
            self.cookie = (!id.is_empty()).then(|| id.to_owned());
        }
        response.status()
    }

    fn id(&self) -> SessionId {
        SessionId::of(self.cookie.as_ref().unwrap()).unwrap()
    }

    fn logged_in(storage: &SundownPoemStorage) -> Self {
        let mut client = Self::default();
        assert_eq!(client.call(storage, |session| session.set("user", "ada")), StatusCode::OK);
        client
    }

    fn is_logged_in(&mut self, storage: &SundownPoemStorage) -> bool {
        self.call(storage, |session| {
            let user = session.get::<String>("user");
            session.set("seen", user);
        });
        let user = |state: &SessionState| state.get("seen") == Some(&"ada".into());
        storage.cache().read(&self.id(), user).unwrap_or(false)
    }
}

/// A request under way: the text that it loads by is the one that it updates by.
struct Slow {
    id: String,
    entries: BTreeMap<String, Value>,
}

impl Slow {
    fn of(storage: &SundownPoemStorage, client: &Client) -> Self {
        let id = client.cookie.clone().unwrap();
        let entries = block_on(storage.load_session(&id)).unwrap().expect("it is live");
        Self { id, entries }
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.entries.insert(name.to_owned(), value.into());
    }

    fn update(self, storage: &SundownPoemStorage) {
        block_on(storage.update_session(&self.id, &self.entries, Some(HOUR)))
            .expect("it is no error");
    }

    /// As after `Session::renew`.
    fn renew(self, storage: &SundownPoemStorage) -> SessionState {
        block_on(storage.remove_session(&self.id)).unwrap();
        let id = "n".repeat(ID_BYTES);
        block_on(storage.update_session(&id, &self.entries, Some(HOUR))).unwrap();
        storage.cache().get(&SessionId::of(&id).unwrap()).unwrap()
    }
}

#[test]
fn a_session_ends_with_its_cookie_or_by_the_caches_timeouts() {
    let clock = ManualClock::new();
    let idle = SundownPoemStorage::new(builder(&clock).time_to_idle(10 * MINUTE)).unwrap();
    for (storage, left) in [(storage(&clock), HOUR), (idle, 10 * MINUTE)] {
        let client = Client::logged_in(&storage);
        clock.advance(left - Duration::from_nanos(1));
        assert!(storage.cache().contains_key(&client.id()));
        clock.advance(Duration::from_nanos(1));
        assert!(block_on(storage.load_session(&client.cookie.unwrap())).unwrap().is_none());
        assert_eq!(storage.cache().reap(), 1);
    }
}

#[test]
fn renewal_changes_the_id_and_buys_no_time() {
    let clock = ManualClock::new();
    let storage = SundownPoemStorage::new(builder(&clock).time_to_live(HOUR)).unwrap();
    let mut client = Client::logged_in(&storage);
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        let old = client.id();
        client.call(&storage, Session::renew);
        assert!(client.id() != old && !storage.cache().contains_key(&old));
        assert!(client.is_logged_in(&storage));
    }
    // A log-in that says so begins anew.
    let mut login = Client::logged_in(&storage);
    clock.advance(10 * MINUTE - Duration::from_millis(1));
    assert!(client.is_logged_in(&storage));
    login.call(&storage, restart_absolute_timeout);
    clock.advance(Duration::from_millis(1));
    assert!(!storage.cache().contains_key(&client.id()));
    clock.advance(50 * MINUTE);
    assert!(login.is_logged_in(&storage));
    clock.advance(10 * MINUTE);
    assert!(!storage.cache().contains_key(&login.id()));
}

#[test]
fn a_stale_or_planted_id_is_no_error_and_never_becomes_a_session() {
    let storage = storage(&ManualClock::new());
    for planted in ["p".repeat(ID_BYTES), "é".repeat(30), "short".into()] {
        let acts: [fn(&Session); 4] =
            [|session| session.set("user", "ada"), Session::renew, Session::purge, Session::clear];
        for act in acts {
            let mut client = Client { cookie: Some(planted.clone()) };
            assert_eq!(client.call(&storage, act), StatusCode::OK);
            assert!(block_on(storage.load_session(&planted)).unwrap().is_none());
        }
    }
}

#[test]
fn a_log_out_is_final() {
    let storage = storage(&ManualClock::new());
    let mut client = Client::logged_in(&storage);
    let (mut late, mut cycling) = (Slow::of(&storage, &client), Slow::of(&storage, &client));
    late.set("cart", 7);
    cycling.set("theme", "dark");
    let id = client.id();
    assert_eq!(client.call(&storage, Session::purge), StatusCode::OK);
    late.update(&storage);
    assert!(!storage.cache().contains_key(&id));
    assert_eq!(storage.cache().stats().rejections.absent, 1);
    let carried = cycling.renew(&storage);
    assert_eq!(carried, SessionState::from([("theme".to_owned(), "dark".into())]));
}

#[test]
fn what_ran_out_or_was_evicted_during_a_request_does_not_come_back() {
    let clock = ManualClock::new();
    let builder = builder(&clock).max_entries(1).time_to_idle(10 * MINUTE);
    let storage = SundownPoemStorage::new(builder).unwrap();
    let ends: [&dyn Fn(); 2] =
        [&|| clock.advance(10 * MINUTE), &|| drop(Client::logged_in(&storage))];
    for end in ends {
        let client = Client::logged_in(&storage);
        let mut late = Slow::of(&storage, &client);
        end();
        late.set("cart", 7);
        late.update(&storage);
        assert!(!storage.cache().contains_key(&client.id()));
    }
}

#[test]
fn requests_side_by_side_lose_nothing_and_bring_nothing_back() {
    let storage = storage(&ManualClock::new());
    let client = Client::logged_in(&storage);
    let (mut one, mut two) = (Slow::of(&storage, &client), Slow::of(&storage, &client));
    let mut out = Slow::of(&storage, &client);
    one.set("cart", 8);
    two.set("theme", "dark");
    one.update(&storage);
    out.entries.remove("user");
    out.update(&storage);
    two.update(&storage);
    let now = storage.cache().get(&client.id()).unwrap();
    let expected = [("cart".to_owned(), 8.into()), ("theme".to_owned(), "dark".into())];
    assert_eq!(now, SessionState::from(expected));
}

#[test]
fn a_new_id_keeps_the_sessions_room_and_a_full_cache_says_so() {
    let full = builder(&ManualClock::new()).max_entries(2).on_full(OnFull::Reject);
    let storage = SundownPoemStorage::new(full).unwrap();
    let (mut client, _other) = (Client::logged_in(&storage), Client::logged_in(&storage));
    client.call(&storage, Session::renew);
    assert!(client.is_logged_in(&storage));
    let mut third = Client::default();
    let status = third.call(&storage, |session| session.set("user", "eve"));
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(storage.cache().stats().rejections.full, 1);
}

#[test]
fn nothing_prints_an_id_or_a_session() {
    let storage = storage(&ManualClock::new());
    let client = Client::logged_in(&storage);
    storage.cache().close();
    let closed = block_on(storage.update_session(&"n".repeat(43), &BTreeMap::new(), None));
    let printed = format!("{storage:?} {:?} {closed:?}", client.id());
    assert!(!printed.contains(client.cookie.as_ref().unwrap()) && !printed.contains("ada"));
    assert!(closed.is_err() && !printed.contains("nnn"), "{printed}");
}
