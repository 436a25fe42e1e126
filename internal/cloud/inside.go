package cloud

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// inside is the listener at which instances call components of their own project.
type inside struct {
	addr     netip.Addr
	listener net.Listener
}

// listenInside opens it. Where it cannot be opened, everything but calls between components works.
func (c *Cloud) listenInside() inside {
	at := c.Engines.Inside
	if !at.IsValid() {
		return inside{}
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		c.Log.Warn("components cannot call each other by name: another program listens at the port", "address", at, "err", err)
		return inside{}
	}
	return inside{at.Addr(), l}
}

// serve answers until the cloud is closed.
func (i inside) serve(c *Cloud) {
	if i.listener == nil {
		return
	}
	srv := &http.Server{Handler: c.App.Ingress.Inside(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(i.listener); !errors.Is(err, http.ErrServerClosed) {
			c.Log.Error("calls between components are not answered any more", "err", err)
		}
	}()
	c.closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := srv.Shutdown(ctx)
		<-done
		return err
	})
}
