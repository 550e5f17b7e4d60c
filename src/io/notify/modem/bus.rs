//! Sends an SMS by a modem that ModemManager has, over the system's D-Bus (cargo feature `dbus`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::timeout;
use zbus::connection::{Builder, Connection};
use zbus::{DBusError as _, Error, Message, OwnedObjectPath, OwnedVariant, Variant};

use crate::config::Secret;
use crate::engine::notify::queue::Failure;
use crate::io::notify::outbox::Kept;
use crate::io::notify::post::passing;
use crate::io::notify::services::said;
use crate::io::notify::sms;

const SERVICE: &str = "org.freedesktop.ModemManager1";
const ROOT: &str = "/org/freedesktop/ModemManager1";
const OBJECTS: &str = "org.freedesktop.DBus.ObjectManager";
const MESSAGING: &str = "org.freedesktop.ModemManager1.Modem.Messaging";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const SMS: &str = "org.freedesktop.ModemManager1.Sms";
/// Whoever is on the bus answers in no time.
const ANSWERED: Duration = Duration::from_secs(5);
/// A modem may search for its network first. Without a bound a call waits for ever.
const SENT: Duration = Duration::from_secs(45);
/// What nobody knows the fate of is left alone so long: the modem may still be at it.
const UNKNOWN: Duration = Duration::from_secs(120);

/// More SMS than these are not looked through for an answer.
const MOST_READ: usize = 20;

/// The objects of a service, each with the properties of its interfaces.
type Objects = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;

/// Sends a message by the first modem that can.
///
/// # Errors
///
/// Why it may not have been sent.
pub(in crate::io::notify) async fn send(number: &Secret, message: &Kept) -> Result<(), Failure> {
    let bus = connect().await?;
    let modem = modem(&bus).await?;
    let sms = create(&bus, &modem, number.reveal(), &sms::text(message)).await?;
    let sent = call(&bus, SENT, &sms, SMS, "Send", &()).await;
    // The store of a modem is small. One that is busy for ever takes this from nobody either.
    drop(call(&bus, ANSWERED, &modem, MESSAGING, "Delete", &sms).await);
    // What it returns counts: its property says this or that for a while.
    match sent {
        Ok(_) => Ok(()),
        Err(Lost::Refused(name, said)) if !name.ends_with(".NoReply") => Err(no(&name, &said)),
        Err(Lost::Refused(..) | Lost::Silent) => {
            let why = "ModemManager does not say whether the SMS was sent".to_owned();
            Err(Failure { unknown: true, pause: Some(UNKNOWN), ..passing(why) })
        }
    }
}

/// Whether somebody has answered with this number, to the first modem that can.
///
/// # Errors
///
/// Why that is not known.
pub(in crate::io::notify) async fn is_answered(
    number: &Secret,
    reply: &str,
) -> Result<bool, Failure> {
    let bus = connect().await?;
    let modem = modem(&bus).await?;
    let silent = |_| passing("ModemManager does not answer".to_owned());
    let listed = call(&bus, ANSWERED, &modem, MESSAGING, "List", &()).await.map_err(silent)?;
    let all: Vec<OwnedObjectPath> = listed.body().deserialize().unwrap_or_default();
    // The latest are the last.
    for path in all.iter().rev().take(MOST_READ) {
        let got = call(&bus, ANSWERED, path, PROPERTIES, "GetAll", &SMS).await.map_err(silent)?;
        let fields = got.body().deserialize::<HashMap<String, OwnedVariant>>().unwrap_or_default();
        let text = |key: &str| {
            let text = fields.get(key).and_then(|value| <&str>::try_from(&**value).ok());
            text.unwrap_or_default().to_owned()
        };
        if sms::is_answer(number.reveal(), &text("Number"), &text("Text"), reply)
            && !is_own(&fields)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it is one of ours, which has the same number in it.
fn is_own(fields: &HashMap<String, OwnedVariant>) -> bool {
    let kind = fields.get("PduType").and_then(|value| u32::try_from(&**value).ok());
    // MM_SMS_PDU_TYPE_SUBMIT
    kind == Some(2)
}

async fn connect() -> Result<Connection, Failure> {
    let connected = timeout(ANSWERED, Builder::system().method_timeout(SENT).build()).await;
    let bus = connected.map_err(|_| passing("the D-Bus of this box does not answer".to_owned()))?;
    bus.map_err(|error| {
        tracing::debug!(%error, "D-Bus");
        passing("this box has no D-Bus that could be asked".to_owned())
    })
}

/// The first modem that sends SMS.
async fn modem(bus: &Connection) -> Result<OwnedObjectPath, Failure> {
    let root = OwnedObjectPath::try_from(ROOT).map_err(|error| passing(error.to_string()))?;
    let found = call(bus, ANSWERED, &root, OBJECTS, "GetManagedObjects", &()).await;
    let found = found.map_err(|lost| match lost {
        Lost::Refused(..) => passing("ModemManager does not run on this box".to_owned()),
        Lost::Silent => passing("ModemManager does not answer".to_owned()),
    })?;
    let objects = found.body().deserialize::<Objects>().unwrap_or_default();
    let able = objects.into_iter().filter(|(_, interfaces)| interfaces.contains_key(MESSAGING));
    let modem = able.min_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    let none = "ModemManager has no modem that sends SMS; is it plugged in, unlocked and enabled?";
    modem.map(|(path, _)| path).ok_or_else(|| passing(none.to_owned()))
}

async fn create(
    bus: &Connection,
    modem: &OwnedObjectPath,
    number: &str,
    text: &str,
) -> Result<OwnedObjectPath, Failure> {
    let fields: BTreeMap<&str, Variant<'_>> =
        [("number", Variant::from(number)), ("text", Variant::from(text))].into_iter().collect();
    let made = call(bus, ANSWERED, modem, MESSAGING, "Create", &fields).await;
    let made = made.map_err(|lost| match lost {
        Lost::Refused(name, said) => no(&name, &said),
        Lost::Silent => passing("ModemManager does not answer".to_owned()),
    })?;
    made.body().deserialize().map_err(|error| passing(error.to_string()))
}

/// Why a call has no result.
enum Lost {
    /// The error's name, and what it says.
    Refused(String, String),
    Silent,
}

/// Calls a method, in bounded time.
async fn call<B: serde::Serialize + zbus::DynamicType>(
    bus: &Connection,
    patience: Duration,
    path: &OwnedObjectPath,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<Message, Lost> {
    let called = bus.call_method(Some(SERVICE), path, Some(interface), method, body);
    match timeout(patience, called).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::MethodError(name, said, _))) => {
            Err(Lost::Refused(name.to_string(), said.unwrap_or_default()))
        }
        // So it says what is well known.
        Ok(Err(Error::FDO(error))) => {
            let said = error.description().unwrap_or_default().to_owned();
            Err(Lost::Refused(error.name().to_string(), said))
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "ModemManager, {method}");
            Err(Lost::Silent)
        }
        Err(_) => Err(Lost::Silent),
    }
}

/// What it means that ModemManager does not do so.
fn no(name: &str, text: &str) -> Failure {
    let said = said(text);
    // The text is ours and always fits; what is wrong then is the number.
    let refused = name.contains("InvalidPdu") || name.contains("Unauthorized");
    let why = match name.rsplit('.').next() {
        Some("InvalidPduParameter") => format!("ModemManager refuses the number ({said})"),
        Some("Unauthorized" | "AccessDenied") => {
            format!("ModemManager lets this program send no SMS ({said})")
        }
        _ => format!("the modem did not send the SMS ({said})"),
    };
    Failure { refused, ..passing(why) }
}
