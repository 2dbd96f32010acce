//! Files, sockets and terminals: there are none. What would give a guest one answers with WASI's own refusal, so what asks
//! something of one is never reached: no handle to one exists, and no value of its type can.

use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::generated::wasi::filesystem::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode as FileError, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use super::generated::wasi::sockets::network::{
    ErrorCode as NetworkError, IpAddress, IpAddressFamily, IpSocketAddress,
};
use super::generated::wasi::sockets::tcp::ShutdownType;
use super::generated::wasi::sockets::udp::{IncomingDatagram, OutgoingDatagram};
use super::generated::wasi::{cli, filesystem, sockets};
use super::io::{Ended, Pollable};
use crate::store::Data;
use crate::voice::Stream;

/// What a guest cannot have: there is no value of it.
#[derive(Debug)]
pub enum Nothing {}

/// The network, as far as a guest may have it: a handle to be refused with.
#[derive(Debug)]
pub struct Network;

/// A call about something that does not exist; a guest has no handle that leads here.
pub(super) fn none<T>(this: &Resource<Nothing>) -> Result<T> {
    bail!("there is nothing behind handle {}", this.rep())
}

/// Methods of a resource that does not exist.
macro_rules! nothing {
    ($($trait:path { $(fn $name:ident($($argument:ty),*) -> $answer:ty;)* })*) => {$(
        impl $trait for Data {
            $(nothing!(@method $name ($($argument),*) -> $answer);)*

            fn drop(&mut self, this: Resource<Nothing>) -> Result<()> {
                none(&this)
            }
        }
    )*};
    (@method $name:ident () -> $answer:ty) => {
        fn $name(&mut self, this: Resource<Nothing>) -> Result<$answer> {
            none(&this)
        }
    };
    (@method $name:ident ($a:ty) -> $answer:ty) => {
        fn $name(&mut self, this: Resource<Nothing>, _: $a) -> Result<$answer> {
            none(&this)
        }
    };
    (@method $name:ident ($a:ty, $b:ty) -> $answer:ty) => {
        fn $name(&mut self, this: Resource<Nothing>, _: $a, _: $b) -> Result<$answer> {
            none(&this)
        }
    };
    (@method $name:ident ($a:ty, $b:ty, $c:ty) -> $answer:ty) => {
        fn $name(&mut self, this: Resource<Nothing>, _: $a, _: $b, _: $c) -> Result<$answer> {
            none(&this)
        }
    };
    (@method $name:ident ($a:ty, $b:ty, $c:ty, $d:ty) -> $answer:ty) => {
        fn $name(&mut self, this: Resource<Nothing>, _: $a, _: $b, _: $c, _: $d) -> Result<$answer> {
            none(&this)
        }
    };
}

/// What a call about a file gives.
type OfFile<T> = Result<T, FileError>;
/// What a call about a socket gives.
type OfSocket<T> = Result<T, NetworkError>;

nothing! {
    cli::terminal_input::HostTerminalInput {}
    cli::terminal_output::HostTerminalOutput {}
    filesystem::types::HostDescriptor {
        fn read_via_stream(u64) -> OfFile<Resource<Ended>>;
        fn write_via_stream(u64) -> OfFile<Resource<Stream>>;
        fn append_via_stream() -> OfFile<Resource<Stream>>;
        fn advise(u64, u64, Advice) -> OfFile<()>;
        fn sync_data() -> OfFile<()>;
        fn get_flags() -> OfFile<DescriptorFlags>;
        fn get_type() -> OfFile<DescriptorType>;
        fn set_size(u64) -> OfFile<()>;
        fn set_times(NewTimestamp, NewTimestamp) -> OfFile<()>;
        fn read(u64, u64) -> OfFile<(Vec<u8>, bool)>;
        fn write(Vec<u8>, u64) -> OfFile<u64>;
        fn read_directory() -> OfFile<Resource<Nothing>>;
        fn sync() -> OfFile<()>;
        fn create_directory_at(String) -> OfFile<()>;
        fn stat() -> OfFile<DescriptorStat>;
        fn stat_at(PathFlags, String) -> OfFile<DescriptorStat>;
        fn set_times_at(PathFlags, String, NewTimestamp, NewTimestamp) -> OfFile<()>;
        fn link_at(PathFlags, String, Resource<Nothing>, String) -> OfFile<()>;
        fn open_at(PathFlags, String, OpenFlags, DescriptorFlags) -> OfFile<Resource<Nothing>>;
        fn readlink_at(String) -> OfFile<String>;
        fn remove_directory_at(String) -> OfFile<()>;
        fn rename_at(String, Resource<Nothing>, String) -> OfFile<()>;
        fn symlink_at(String, String) -> OfFile<()>;
        fn unlink_file_at(String) -> OfFile<()>;
        fn is_same_object(Resource<Nothing>) -> bool;
        fn metadata_hash() -> OfFile<MetadataHashValue>;
        fn metadata_hash_at(PathFlags, String) -> OfFile<MetadataHashValue>;
    }
    filesystem::types::HostDirectoryEntryStream {
        fn read_directory_entry() -> OfFile<Option<DirectoryEntry>>;
    }
    sockets::ip_name_lookup::HostResolveAddressStream {
        fn resolve_next_address() -> OfSocket<Option<IpAddress>>;
        fn subscribe() -> Resource<Pollable>;
    }
    sockets::tcp::HostTcpSocket {
        fn start_bind(Resource<Network>, IpSocketAddress) -> OfSocket<()>;
        fn finish_bind() -> OfSocket<()>;
        fn start_connect(Resource<Network>, IpSocketAddress) -> OfSocket<()>;
        fn finish_connect() -> OfSocket<(Resource<Ended>, Resource<Stream>)>;
        fn start_listen() -> OfSocket<()>;
        fn finish_listen() -> OfSocket<()>;
        fn accept() -> OfSocket<(Resource<Nothing>, Resource<Ended>, Resource<Stream>)>;
        fn local_address() -> OfSocket<IpSocketAddress>;
        fn remote_address() -> OfSocket<IpSocketAddress>;
        fn is_listening() -> bool;
        fn address_family() -> IpAddressFamily;
        fn set_listen_backlog_size(u64) -> OfSocket<()>;
        fn keep_alive_enabled() -> OfSocket<bool>;
        fn set_keep_alive_enabled(bool) -> OfSocket<()>;
        fn keep_alive_idle_time() -> OfSocket<u64>;
        fn set_keep_alive_idle_time(u64) -> OfSocket<()>;
        fn keep_alive_interval() -> OfSocket<u64>;
        fn set_keep_alive_interval(u64) -> OfSocket<()>;
        fn keep_alive_count() -> OfSocket<u32>;
        fn set_keep_alive_count(u32) -> OfSocket<()>;
        fn hop_limit() -> OfSocket<u8>;
        fn set_hop_limit(u8) -> OfSocket<()>;
        fn receive_buffer_size() -> OfSocket<u64>;
        fn set_receive_buffer_size(u64) -> OfSocket<()>;
        fn send_buffer_size() -> OfSocket<u64>;
        fn set_send_buffer_size(u64) -> OfSocket<()>;
        fn subscribe() -> Resource<Pollable>;
        fn shutdown(ShutdownType) -> OfSocket<()>;
    }
    sockets::udp::HostUdpSocket {
        fn start_bind(Resource<Network>, IpSocketAddress) -> OfSocket<()>;
        fn finish_bind() -> OfSocket<()>;
        fn stream(Option<IpSocketAddress>) -> OfSocket<(Resource<Nothing>, Resource<Nothing>)>;
        fn local_address() -> OfSocket<IpSocketAddress>;
        fn remote_address() -> OfSocket<IpSocketAddress>;
        fn address_family() -> IpAddressFamily;
        fn unicast_hop_limit() -> OfSocket<u8>;
        fn set_unicast_hop_limit(u8) -> OfSocket<()>;
        fn receive_buffer_size() -> OfSocket<u64>;
        fn set_receive_buffer_size(u64) -> OfSocket<()>;
        fn send_buffer_size() -> OfSocket<u64>;
        fn set_send_buffer_size(u64) -> OfSocket<()>;
        fn subscribe() -> Resource<Pollable>;
    }
    sockets::udp::HostIncomingDatagramStream {
        fn receive(u64) -> OfSocket<Vec<IncomingDatagram>>;
        fn subscribe() -> Resource<Pollable>;
    }
    sockets::udp::HostOutgoingDatagramStream {
        fn check_send() -> OfSocket<u64>;
        fn send(Vec<OutgoingDatagram>) -> OfSocket<u64>;
        fn subscribe() -> Resource<Pollable>;
    }
}

impl cli::terminal_input::Host for Data {}
impl cli::terminal_output::Host for Data {}

impl cli::terminal_stdin::Host for Data {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl cli::terminal_stdout::Host for Data {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl cli::terminal_stderr::Host for Data {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<Nothing>>> {
        Ok(None)
    }
}

impl filesystem::types::Host for Data {
    fn filesystem_error_code(&mut self, error: Resource<Nothing>) -> Result<Option<FileError>> {
        none(&error)
    }
}

impl filesystem::preopens::Host for Data {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Nothing>, String)>> {
        Ok(Vec::new())
    }
}

impl sockets::network::Host for Data {
    fn network_error_code(&mut self, error: Resource<Nothing>) -> Result<Option<NetworkError>> {
        none(&error)
    }
}

impl sockets::network::HostNetwork for Data {
    fn drop(&mut self, this: Resource<Network>) -> Result<()> {
        self.give_back(this)
    }
}

impl sockets::instance_network::Host for Data {
    fn instance_network(&mut self) -> Result<Resource<Network>> {
        self.handle(Network)
    }
}

impl sockets::ip_name_lookup::Host for Data {
    fn resolve_addresses(&mut self, _: Resource<Network>, _: String) -> Result<OfSocket<Resource<Nothing>>> {
        Ok(Err(NetworkError::AccessDenied))
    }
}

impl sockets::tcp::Host for Data {}

impl sockets::tcp_create_socket::Host for Data {
    fn create_tcp_socket(&mut self, _: IpAddressFamily) -> Result<OfSocket<Resource<Nothing>>> {
        Ok(Err(NetworkError::AccessDenied))
    }
}

impl sockets::udp::Host for Data {}

impl sockets::udp_create_socket::Host for Data {
    fn create_udp_socket(&mut self, _: IpAddressFamily) -> Result<OfSocket<Resource<Nothing>>> {
        Ok(Err(NetworkError::AccessDenied))
    }
}
