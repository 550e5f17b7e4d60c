//! What happened, in a form that log, page, message and history all read.
