//! Numbers of linux/netfilter/nf_tables.h, as far as our vocabulary needs them, and the few that
//! libnftnl and `nft` keep in userdata. Attribute numbers stand in the order of their enums.

use super::super::nfnl::SUBSYS_NFTABLES;

/// Family `inet` (linux/netfilter.h).
pub(super) const NFPROTO_INET: u8 = 1;
pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;

/// A message kind of nf_tables.
pub(super) const fn kind(command: u16) -> u16 {
    (SUBSYS_NFTABLES as u16) << 8 | command
}

// NFT_MSG_*
pub(super) const NEWTABLE: u16 = kind(0);
pub(super) const GETTABLE: u16 = kind(1);
pub(super) const DELTABLE: u16 = kind(2);
pub(super) const NEWCHAIN: u16 = kind(3);
pub(super) const GETCHAIN: u16 = kind(4);
pub(super) const NEWRULE: u16 = kind(6);
pub(super) const GETRULE: u16 = kind(7);
pub(super) const NEWSET: u16 = kind(9);
pub(super) const GETSET: u16 = kind(10);
pub(super) const NEWSETELEM: u16 = kind(12);
pub(super) const GETSETELEM: u16 = kind(13);
pub(super) const DELSETELEM: u16 = kind(14);
pub(super) const GETGEN: u16 = kind(16);
pub(super) const NEWOBJ: u16 = kind(18);
pub(super) const GETOBJ: u16 = kind(19);
pub(super) const GETFLOWTABLE: u16 = kind(23);

// NFTA_TABLE_*, NFTA_CHAIN_*, NFTA_HOOK_*, NFTA_RULE_*, NFTA_GEN_*
pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const TABLE_USERDATA: u16 = 6;
pub(super) const TABLE_OWNER: u16 = 7;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUM: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
pub(super) const RULE_USERDATA: u16 = 7;
pub(super) const GEN_ID: u16 = 1;
pub(super) const LIST_ELEM: u16 = 1;

// NFTA_SET_*, NFTA_SET_DESC_*, flags NFT_SET_*
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
pub(super) const SET_KEY_TYPE: u16 = 4;
pub(super) const SET_KEY_LEN: u16 = 5;
pub(super) const SET_DATA_TYPE: u16 = 6;
pub(super) const SET_DATA_LEN: u16 = 7;
pub(super) const SET_DESC: u16 = 9;
pub(super) const SET_ID: u16 = 10;
pub(super) const SET_TIMEOUT: u16 = 11;
pub(super) const SET_USERDATA: u16 = 13;
pub(super) const SET_DESC_CONCAT: u16 = 2;
pub(super) const SET_FIELD_LEN: u16 = 1;
pub(super) const SET_INTERVAL: u32 = 0x04;
pub(super) const SET_MAP: u32 = 0x08;
pub(super) const SET_HAS_TIMEOUT: u32 = 0x10;
pub(super) const SET_CONCAT: u32 = 0x80;
pub(super) const DATA_TYPE_VERDICT: u32 = 0xffff_ff00;
/// `nft`'s number for a plain number; the kernel only stores it.
pub(super) const DATA_TYPE_INTEGER: u32 = 4;

// NFTA_SET_ELEM_LIST_*, NFTA_SET_ELEM_*
pub(super) const ELEM_LIST_TABLE: u16 = 1;
pub(super) const ELEM_LIST_SET: u16 = 2;
pub(super) const ELEM_LIST_ELEMENTS: u16 = 3;
pub(super) const ELEM_KEY: u16 = 1;
pub(super) const ELEM_DATA: u16 = 2;
pub(super) const ELEM_FLAGS: u16 = 3;
pub(super) const ELEM_KEY_END: u16 = 10;
/// The element closes an interval (`NFT_SET_ELEM_INTERVAL_END`).
pub(super) const ELEM_INTERVAL_END: u32 = 1;

// NFTA_DATA_*, NFTA_VERDICT_*, verdicts
pub(super) const DATA_VALUE: u16 = 1;
pub(super) const DATA_VERDICT: u16 = 2;
pub(super) const VERDICT_CODE: u16 = 1;
pub(super) const VERDICT_CHAIN: u16 = 2;
pub(super) const NF_DROP: i32 = 0;
pub(super) const NF_ACCEPT: i32 = 1;
pub(super) const NFT_JUMP: i32 = -3;
pub(super) const NFT_GOTO: i32 = -4;
pub(super) const NFT_RETURN: i32 = -5;

// NFTA_OBJ_*, NFTA_COUNTER_*
pub(super) const OBJ_TABLE: u16 = 1;
pub(super) const OBJ_NAME: u16 = 2;
pub(super) const OBJ_TYPE: u16 = 3;
pub(super) const OBJ_DATA: u16 = 4;
pub(super) const OBJECT_COUNTER: u32 = 1;
pub(super) const COUNTER_BYTES: u16 = 1;
pub(super) const COUNTER_PACKETS: u16 = 2;

// NFTA_EXPR_*, NFTA_NAT_TYPE, NFTA_TARGET_NAME
pub(super) const EXPR_NAME: u16 = 1;
pub(super) const EXPR_DATA: u16 = 2;
pub(super) const NAT_TYPE: u16 = 1;
pub(super) const TARGET_NAME: u16 = 1;

// NFTA_FLOWTABLE_*, NFTA_FLOWTABLE_HOOK_*, NFT_FLOWTABLE_*
pub(super) const FLOWTABLE_TABLE: u16 = 1;
pub(super) const FLOWTABLE_NAME: u16 = 2;
pub(super) const FLOWTABLE_HOOK: u16 = 3;
pub(super) const FLOWTABLE_FLAGS: u16 = 7;
pub(super) const FLOWTABLE_DEVICES: u16 = 3;
pub(super) const FLOWTABLE_HW_OFFLOAD: u32 = 1;

// Userdata: entries of one byte type, one byte length. `nft` reads a set's byte orders from them and
// skips types it does not know.
pub(super) const UDATA_KEYBYTEORDER: u8 = 0;
pub(super) const UDATA_DATABYTEORDER: u8 = 1;
pub(super) const BYTEORDER_HOST: u32 = 1;
pub(super) const BYTEORDER_BIG: u32 = 2;
/// Our own entry in the userdata of tables and rules: a digest.
pub(super) const UDATA_DIGEST: u8 = 83;
