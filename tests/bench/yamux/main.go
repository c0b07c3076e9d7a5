// SPDX-FileCopyrightText: 2026 the guestmux authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// yamux-relay joins the connections of a unix socket to streams of one yamux session, as what Kata
// Containers had between its shim and its agent did: one program on each side of a port, and on the
// port nothing but yamux. ./dev bench measures guestmux beside it.
//
//	yamux-relay listen SOCKET PORT    each connection to SOCKET becomes a stream
//	yamux-relay connect SOCKET PORT   each stream is joined to a new connection to SOCKET
//
// PORT is a device, unix:PATH, which is connected to, or listen:PATH, where one connection is
// waited for. The relay ends with the session.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/yamux"
)

// What is best for yamux among what it lets one choose. A larger window than its 256 KiB was not
// found to be faster, and makes the others wait longer. Without keepalives, since a guest under TCG can
// be slow, and with a patient time limit for writes, for the same reason.
func config() *yamux.Config {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.ConnectionWriteTimeout = time.Minute
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
		io.Copy(socket, stream)
		socket.(*net.UnixConn).CloseWrite()
		close(done)
	}()
	io.Copy(stream, socket)
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
	if len(os.Args) != 4 || (os.Args[1] != "listen" && os.Args[1] != "connect") {
		log.Fatal("usage: yamux-relay listen|connect SOCKET DEVICE|unix:PATH|listen:PATH")
	}
	begin, run := yamux.Client, listen
	if os.Args[1] == "connect" {
		begin, run = yamux.Server, connect
	}
	port, err := openPort(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	session, err := begin(port, config())
	if err != nil {
		log.Fatal(err)
	}
	if err := run(os.Args[2], session); err != io.EOF {
		log.Fatal(err)
	}
}
