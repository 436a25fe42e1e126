package console

// instances lists an app's instances.
func (q *request) instances(p *appPage) []instanceView {
	var out []instanceView
	for _, in := range p.Row.Status.Instances {
		out = append(out, instanceView{Instance: in, Short: cut(string(in.ID), 9), MemoryLimit: p.Row.Spec.Memory})
	}
	return out
}
