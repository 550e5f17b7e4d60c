use proptest::prelude::*;

use super::*;

fn rule(expression: &str) -> Message {
    let element = Attrs::new().text(1, expression).nest(2, &Attrs::new());
    let list = Attrs::new().nest(1, &element);
    let attrs = Attrs::new().text(1, "t").nest(4, &list);
    Message { kind: 0x0a06, flags: CREATE, version: 0, family: 1, attrs, object: "rule 1".into() }
}

fn refused(message: &Message, errno: Errno, offset: u32) -> String {
    let bytes = frame::error(errno, "no luck", offset);
    let frame = Frames(&bytes).next().unwrap();
    assert_eq!((frame.seq, frame.part()), (9, Part::End(Some(errno))));
    refusal(message, errno, &frame).to_string()
}

#[test]
fn a_message_has_the_kernels_layout() {
    let mut bytes = Vec::new();
    put_bound(&mut bytes, BATCH_BEGIN, 7, 10);
    assert_eq!(bytes, [20, 0, 0, 0, 0x10, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]);
}

#[test]
fn refusals_are_sentences() {
    // Header and nfgenmsg, the table's name, the head of the list.
    let first_expression = u32::try_from(HEADER + NFGENMSG + 8 + 4).unwrap();
    assert_eq!(
        refused(&rule("masq"), Errno::ENOENT, first_expression),
        "this kernel has no nftables expression `masq`: it needs CONFIG_NFT_MASQ (module nft_masq)"
    );
    let lookup = refused(&rule("lookup"), Errno::ENOENT, first_expression);
    assert!(lookup.starts_with("the kernel refused rule 1: ENOENT"), "{lookup}");
    assert!(lookup.ends_with("(no luck)"), "{lookup}");
    assert!(refused(&rule("masq"), Errno::EPERM, 0).contains("CAP_NET_ADMIN"));
    assert!(batch_refusal(Errno::EOPNOTSUPP).to_string().contains("CONFIG_NF_TABLES"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes: Vec<u8>, offset: usize) {
        for frame in Frames(&bytes) {
            let _ = attributes(&frame).count();
        }
        let _ = expression_at(&rule("masq"), offset);
    }
}
