//! The service without a framework's sessions, by a real HTTP client: log in on four devices, of which three
//! stay, and log out everywhere.

#[allow(dead_code, reason = "its main is not run")]
#[path = "../examples/plain.rs"]
mod plain;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

#[test]
fn three_devices_stay_and_all_go_at_once() {
    let runtime = Runtime::new().expect("threads can be made");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let app = plain::app().expect("it builds");
    runtime.spawn(async move { axum::serve(listener, app).await });
    let url = |path: &str| format!("http://{address}{path}");
    let page = |cookie: &str| {
        let asked = ureq::get(url("/")).header("cookie", cookie).call();
        asked.ok().map(|mut page| page.body_mut().read_to_string().expect("it is text"))
    };

    let cookies: Vec<String> = (1..=4)
        .map(|device| {
            let log_in = ureq::post(url("/login")).header("user-agent", format!("phone {device}"));
            let answer = log_in.send("ada").expect("it answers");
            let cookie = answer.headers().get("set-cookie").expect("a cookie");
            let cookie = cookie.to_str().expect("it is text");
            cookie.split(';').next().expect("it has an id").to_owned()
        })
        .collect();
    assert_eq!(page(&cookies[0]), None, "the oldest has gone");
    let listed = page(&cookies[3]).expect("the newest is in");
    assert_eq!(listed, "Hello ada, you are logged in on\n- phone 2\n- phone 3\n- phone 4\n");
    assert_eq!(page("id=made-up"), None);
    let everywhere = ureq::post(url("/logout-everywhere")).header("cookie", &cookies[1]);
    let mut answer = everywhere.send_empty().expect("it answers");
    assert_eq!(answer.body_mut().read_to_string().expect("it is text"), "3 logged out\n");
    assert!(cookies.iter().all(|cookie| page(cookie).is_none()));
}
