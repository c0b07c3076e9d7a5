// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// yamux-relay joins the connections of a unix socket to streams of one yamux session, as what Kata
// Containers had between its shim and its agent did: one program on each side of a port, and on the
// port nothing but yamux. ./dev bench measures guestmux beside it.
//
//	yamux-relay [-w BYTES] listen SOCKET PORT    each connection to SOCKET becomes a stream
//	yamux-relay [-w BYTES] connect SOCKET PORT   each stream is joined to a new connection to SOCKET
//
// -w: the window that a stream's other end is given, 256 KiB (yamux's own) if it is not said. PORT is a device, unix:PATH, which is connected to, or listen:PATH, where one connection is
// waited for. The relay ends with the session.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

// Found by measuring, in a guest under TCG: copying 64 KiB at a time is faster than io.Copy's 32 KiB in
// either direction. A window of 1 MiB is faster still, but was seen to make messages beside a load wait
// longer, so both are measured. One of 4 MiB was no faster than that.
const copied = 64 << 10

// Without keepalives, and with a patient time limit for writes: a guest under TCG can be slow.
func config(window uint) *yamux.Config {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.ConnectionWriteTimeout = time.Minute
	config.MaxStreamWindowSize = uint32(window)
	return config
}

func openPort(port string) (io.ReadWriteCloser, error) {
	if path := strings.TrimPrefix(port, "unix:"); path != port {
		return net.Dial("unix", path)
	}
	if path := strings.TrimPrefix(port, "listen:"); path != port {
		listener, err := net.Listen("unix", path)
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		return listener.Accept()
	}
	return os.OpenFile(port, os.O_RDWR, 0)
}

// join copies both ways until both have ended. What ends the stream's direction to us half-closes
// the socket. The other way round, Close sends a FIN, after which yamux gives its reader no more than
// what has arrived already: that is all of a half-close that it has.
func join(stream, socket net.Conn) {
	done := make(chan struct{})
	go func() {
		io.CopyBuffer(socket, stream, make([]byte, copied))
		socket.(*net.UnixConn).CloseWrite()
		close(done)
	}()
	io.CopyBuffer(stream, socket, make([]byte, copied))
	stream.Close()
	<-done
	socket.Close()
}

func listen(path string, session *yamux.Session) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() {
		<-session.CloseChan()
		listener.Close()
	}()
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			stream, err := session.Open()
			if err != nil {
				socket.Close()
				return
			}
			join(stream, socket)
		}()
	}
}

func connect(path string, session *yamux.Session) error {
	for {
		stream, err := session.Accept()
		if err != nil {
			return err
		}
		go func() {
			socket, err := net.Dial("unix", path)
			if err != nil {
				stream.Close()
				return
			}
			join(stream, socket)
		}()
	}
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("yamux-relay: ")
	window := flag.Uint("w", 256<<10, "bytes")
	flag.Parse()
	if flag.NArg() != 3 || (flag.Arg(0) != "listen" && flag.Arg(0) != "connect") {
		log.Fatal("usage: [-w BYTES] listen|connect SOCKET DEVICE|unix:PATH|listen:PATH")
	}
	begin, run := yamux.Client, listen
	if flag.Arg(0) == "connect" {
		begin, run = yamux.Server, connect
	}
	port, err := openPort(flag.Arg(2))
	if err != nil {
		log.Fatal(err)
	}
	session, err := begin(port, config(*window))
	if err != nil {
		log.Fatal(err)
	}
	if err := run(flag.Arg(1), session); err != io.EOF {
		log.Fatal(err)
	}
}
