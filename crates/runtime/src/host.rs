//! The host: its kernel, network devices and resctrl, the descriptors that rind inherits, and sockets
//! and files that the caller names. Nothing here knows a command.

pub(crate) mod descriptors;
pub(crate) mod files;
pub(crate) mod kernel;
pub(crate) mod listener;
pub(crate) mod network;
pub(crate) mod notify;
pub(crate) mod pid_file;
pub(crate) mod resctrl;
