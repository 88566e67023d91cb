//! Data of sessions, in all shapes that matter to an allocator.

use std::collections::HashMap;

use serde_json::{Value, json};

pub type Data = HashMap<String, Value>;

/// Every shape, by name.
pub fn shapes() -> Vec<(&'static str, Data)> {
    let mut shapes = vec![
        ("empty", Data::new()),
        ("one name", name(7)),
        ("log-in data", log_in(7)),
        ("a basket of 20 items", basket(7)),
        ("nested arrays", of(json!([[[1, 2, 3], [4, 5]], [[6], [], [7, 8, 9, [10, [11]]]]]))),
        ("a long string", of(json!("x".repeat(10_000)))),
        ("many small keys", many(500, |n| (format!("k{n}"), json!(n)))),
        ("numbers", of(json!([0, -1, 1.5, u64::MAX, 1e300, 42, 7.25, -9.5, 1_000_000, 3]))),
        ("a blob of 1 MiB", of(json!("x".repeat(1 << 20)))),
        ("nested objects", of(nested(30))),
        ("an array of objects", of((0..50).map(|n| json!({ "id": n, "ok": true })).collect())),
        ("strings of one letter", of((0..200).map(|_| json!("x")).collect())),
        ("unicode", many(20, |n| (format!("ключ-{n}"), json!("日本語のセッション".repeat(n + 1))))),
        ("nulls and truth values", many(40, |n| (format!("flag-{n}"), flag(n)))),
        ("empty containers", many(10, |n| (format!("e{n}"), json!([[], {}, "", [[], {}]])))),
        ("a large object, in order", of(object(0..3_000))),
        ("a large object, backwards", of(object((0..3_000).rev()))),
        ("a large object, shuffled", of(object((0..3_000).map(|n| n * 1_237 % 3_001)))),
        ("an object of 12", of(object(0..12))),
        ("an object of 100", of(object((0..100).map(|n| n * 37 % 101)))),
        ("a text with room left", of(Value::String(with_room(5_000, "short")))),
        ("a table that was larger", emptied(300, 5)),
        ("an array with room left", of(Value::Array(roomy(100, 3)))),
    ];
    for pairs in [1, 3, 4, 7, 8, 14, 15, 28, 29] {
        shapes.push(("some keys", many(pairs, |n| (format!("key-{n}"), json!(format!("v{n}"))))));
    }
    shapes
}

/// Who it is, and nothing more.
pub fn name(n: usize) -> Data {
    Data::from([("user".to_owned(), json!(format!("user-{n:08}")))])
}

/// As axum-login keeps it, with what a site adds to it.
pub fn log_in(n: usize) -> Data {
    Data::from([
        (
            "axum-login.data".to_owned(),
            json!({
                "user_id": n,
                "auth_hash": (0..32).map(|byte| (byte * n) % 256).collect::<Vec<_>>(),
            }),
        ),
        ("csrf".to_owned(), json!(format!("{n:032x}"))),
        ("locale".to_owned(), json!("de-CH")),
    ])
}

pub fn basket(n: usize) -> Data {
    let item = |item| {
        json!({
            "sku": format!("SKU-{:08}", n * 31 + item),
            "quantity": item % 5,
            "price": 19.95,
            "title": "A thing that someone wants",
        })
    };
    of((0..20).map(item).collect())
}

pub fn of(value: Value) -> Data {
    Data::from([("data".to_owned(), value)])
}

pub fn many(pairs: usize, pair: impl Fn(usize) -> (String, Value)) -> Data {
    (0..pairs).map(pair).collect()
}

fn flag(n: usize) -> Value {
    [Value::Null, json!(true), json!(false)][n % 3].clone()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(0), |inner, n| json!({ "level": n, "inner": inner }))
}

fn object(keys: impl Iterator<Item = usize>) -> Value {
    let mut map = serde_json::Map::new();
    map.extend(keys.map(|n| (format!("{n:05}"), json!(n))));
    Value::Object(map)
}

fn with_room(capacity: usize, text: &str) -> String {
    let mut roomy = String::with_capacity(capacity);
    roomy.push_str(text);
    roomy
}

fn roomy(capacity: usize, values: usize) -> Vec<Value> {
    let mut roomy = Vec::with_capacity(capacity);
    roomy.extend((0..values).map(Value::from));
    roomy
}

fn emptied(from: usize, to: usize) -> Data {
    let mut data = many(from, |n| (format!("k{n}"), json!(n)));
    data.retain(|name, _| name[1..].parse::<usize>().is_ok_and(|n| n < to));
    data
}
