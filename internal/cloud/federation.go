package cloud

import "context"

// startFederation removes what is over, as long as the cloud runs.
func (c *Cloud) startFederation() {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Federation.Run(ctx, func(err error) { c.Log.Error("old log-ins cannot be removed", "err", err) })
	}()
	c.closing(func() error { stop(); <-done; return nil })
}
