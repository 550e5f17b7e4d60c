//! A home in network namespaces.
