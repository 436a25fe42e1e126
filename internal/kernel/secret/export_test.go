package secret

// Occupy takes every slot, as many running log-ins would, until release is called.
func (p *Passwords) Occupy() (release func()) {
	for range cap(p.slot) {
		p.slot <- struct{}{}
	}
	return func() {
		for range cap(p.slot) {
			<-p.slot
		}
	}
}
