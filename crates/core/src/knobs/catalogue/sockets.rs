//! TCP: the socket network, the interfaces, and connection retries.

use super::prelude::*;

pub(super) const KNOBS: &[Knob] = &[
    Knob::new("NCCL_NSOCKS_PERTHREAD", KnobClass::PerProcess, integer(1, 64))
        .does("Sockets per helper thread; unset: 8 on AWS, else 1.")
        .default(&[(v(2, 4, 8), "unset")])
        .automatic(-2)
        .on(&[Tcp])
        .outside("the product with NCCL_SOCKET_NTHREADS is cut to 64")
        .with(&["NCCL_SOCKET_NTHREADS"])
        .search(&["1", "2", "4", "8"])
        .source("src/transport/net_socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_FAMILY", KnobClass::PerProcess, exact_word(&["AF_INET", "AF_INET6"]))
        .does("Forces IPv4 or IPv6.")
        .default(&[(v(2, 3, 5), "unset")])
        .outside("NCCL silently ignores it")
        .with(&["NCCL_SOCKET_IFNAME"])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_IFNAME", KnobClass::PerProcess, Domain::Text("interface prefixes: [^][=]eth0,eth1"))
        .does("Interfaces for bootstrap and for the socket network; a name is a prefix unless the list starts with =.")
        .default(&[(v(2, 3, 5), "unset")])
        .hazards(&["An interface that other nodes cannot reach hangs or fails initialisation."])
        .with(&["NCCL_SOCKET_FAMILY", "NCCL_OOB_NET_IFNAME"])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_INLINE", KnobClass::PerProcess, bytes(0, ANY))
        .does("Bytes sent together with the control message.")
        .default(&[(v(2, 27, 3), "128")])
        .on(&[Tcp])
        .search(&["0", "128", "1024"])
        .source("src/transport/net_socket.cc"),
    Knob::new("NCCL_SOCKET_MAGIC", KnobClass::PerProcess, Domain::Text("a 64-bit number, decimal or 0x"))
        .does("Handshake number that keeps jobs on one network apart.")
        .default(&[(v(2, 30, 7), "unset")])
        .outside("NCCL uses its built-in number")
        .hazards(&["Must be equal on all ranks."])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_MIN_TASKSIZE", KnobClass::PerProcess, bytes(1, ANY))
        .does("Fewest bytes per socket when a message is split.")
        .default(&[(v(2, 27, 3), "65536")])
        .on(&[Tcp])
        .search(&["16384", "65536", "262144"])
        .source("src/transport/net_socket.cc"),
    Knob::new("NCCL_SOCKET_NTHREADS", KnobClass::PerProcess, integer(0, 16))
        .does("Helper threads per connection; unset: 2 on AWS, 4 on Google Cloud, else none.")
        .default(&[(v(2, 4, 8), "unset")])
        .automatic(-2)
        .on(&[Tcp])
        .outside("above 16 NCCL warns and uses 16")
        .hazards(&["Each thread takes a CPU."])
        .with(&["NCCL_NSOCKS_PERTHREAD"])
        .search(&["1", "2", "4", "8", "16"])
        .source("src/transport/net_socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_POLL_TIMEOUT_MSEC", KnobClass::PerProcess, integer(0, ANY))
        .does("Milliseconds to poll instead of spinning during bootstrap; 0 spins.")
        .default(&[(v(2, 29, 2), "0")])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_RCVBUF", KnobClass::PerProcess, bytes(0, 2_147_483_647))
        .does("Socket receive buffer; unset: the system's.")
        .default(&[(v(2, 27, 3), "unset")])
        .automatic(-1)
        .on(&[Tcp])
        .with(&["NCCL_SOCKET_SNDBUF"])
        .source("src/misc/socket.cc"),
    Knob::new("NCCL_SOCKET_RETRY_CNT", KnobClass::PerProcess, integer(1, ANY))
        .does("Retries of a connection that times out or is refused.")
        .default(&[(v(2, 24, 3), "34")])
        .with(&["NCCL_SOCKET_RETRY_SLEEP_MSEC"])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_RETRY_SLEEP_MSEC", KnobClass::PerProcess, integer(1, ANY))
        .does("Milliseconds of the first wait; the wait grows with each retry.")
        .default(&[(v(2, 24, 3), "100")])
        .with(&["NCCL_SOCKET_RETRY_CNT"])
        .source("src/misc/socket.cc")
        .documented(),
    Knob::new("NCCL_SOCKET_SNDBUF", KnobClass::PerProcess, bytes(0, 2_147_483_647))
        .does("Socket send buffer; unset: the system's.")
        .default(&[(v(2, 27, 3), "unset")])
        .automatic(-1)
        .on(&[Tcp])
        .with(&["NCCL_SOCKET_RCVBUF"])
        .source("src/misc/socket.cc"),
];
