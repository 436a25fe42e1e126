package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nobody stands in a shim's arguments until it is told whose shim it is.
const Nobody = "--------------------------------" // as long as an id

// Order makes a waiting process the shim of an instance.
type Order struct {
	ID     string `json:"id"`
	Bundle string `json:"bundle"`
}

// Send gives a waiting shim its order and the socket that it is to listen on.
func (o Order) Send(c *net.UnixConn, listener *os.File) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, _, err = c.WriteMsgUnix(b, unix.UnixRights(int(listener.Fd())), nil)
	return err
}

// await waits for the order on the inherited socket; the end of who would give it is io.EOF.
func await() (net.Listener, error) {
	f := os.NewFile(orderFD, "orders")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("no socket for the order: %w", err)
	}
	defer c.Close()
	orders, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the socket for the order is of another kind")
	}
	b, rights := make([]byte, 8<<10), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := orders.ReadMsgUnix(b, rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	var o Order
	if err := json.Unmarshal(b[:n], &o); err != nil {
		return nil, fmt.Errorf("the order: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("the order's socket: %w", errors.Join(err, errors.New("it is missing")))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("the order's socket: %w", errors.Join(err, errors.New("it is missing")))
	}
	unix.CloseOnExec(fds[0])
	l := os.NewFile(uintptr(fds[0]), "listener")
	defer l.Close()
	name(o.ID)
	if err := os.Chdir(o.Bundle); err != nil {
		return nil, err
	}
	return net.FileListener(l)
}

// name writes the instance over Nobody in the process's arguments, where ps and the engine find it. The runtime's
// strings of them stand in the very memory that the kernel shows.
func name(id string) {
	if len(os.Args) == 3 && len(os.Args[2]) == len(id) {
		copy(unsafe.Slice(unsafe.StringData(os.Args[2]), len(id)), id)
	}
}
