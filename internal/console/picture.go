package console

import "fmt"

// Measures of the picture, in its own units.
const (
	boxWidth  = 300
	boxGap    = 90
	boxBeside = 40 // room right of the last one, for lines around its side
	boxTop    = 90
	headRoom  = 58
	nodeRoom  = 62
	nodeTall  = 52
	boxesWide = 3
)

// draw gives everything its place, and lines between the chosen port and what it may reach.
func (p *picturePage) draw() {
	y, tallest := boxTop, 0
	for i, s := range p.Subnets {
		if i > 0 && i%boxesWide == 0 {
			y, tallest = y+tallest+boxGap/2, 0
		}
		s.box = box{X: 10 + i%boxesWide*(boxWidth+boxGap), Y: y, W: boxWidth, H: headRoom + max(1, len(s.Nodes))*nodeRoom}
		tallest = max(tallest, s.H)
		p.Width = max(p.Width, s.X+s.W+boxBeside)
		for j, n := range s.Nodes {
			n.box = box{X: s.X + 12, Y: s.Y + headRoom + j*nodeRoom - 6, W: boxWidth - 24, H: nodeTall}
		}
	}
	p.Width, p.Height = max(p.Width, boxWidth+boxBeside), y+tallest+10
	p.Internet = box{X: p.Width/2 - 75, Y: 8, W: 150, H: 36}
	if p.From == nil {
		return
	}
	for _, s := range p.Subnets {
		for _, n := range s.Nodes {
			if len(n.To) > 0 {
				p.Links = append(p.Links, picLink{curve(p.From.box, n.box, 10), "to"})
			}
			if len(n.From) > 0 {
				p.Links = append(p.Links, picLink{curve(n.box, p.From.box, -10), "from"})
			}
		}
	}
	me, out := p.From.box, p.Internet
	if len(p.Out) > 0 {
		p.Links = append(p.Links, picLink{fmt.Sprintf("M%d %d C%d %d %d %d %d %d", me.X+me.W/2+12, me.Y, me.X+me.W/2+12, me.Y-50, out.X+out.W/2+12, out.Y+out.H+50, out.X+out.W/2+12, out.Y+out.H+3), "to"})
	}
	if len(p.In) > 0 {
		p.Links = append(p.Links, picLink{fmt.Sprintf("M%d %d C%d %d %d %d %d %d", out.X+out.W/2-12, out.Y+out.H, out.X+out.W/2-12, out.Y+out.H+50, me.X+me.W/2-12, me.Y-50, me.X+me.W/2-12, me.Y-3), "from"})
	}
}

// curve is a line from one box to another that passes beside what is between them.
func curve(a, b box, off int) string {
	ay, by := a.Y+a.H/2+off, b.Y+b.H/2+off
	switch {
	case a.X == b.X: // one above the other: around the right side
		x := a.X + a.W
		bend := x + 26 + off/2
		return fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x, ay, bend, ay, bend, by, x+3, by)
	case a.X < b.X:
		m := (a.X + a.W + b.X) / 2
		return fmt.Sprintf("M%d %d C%d %d %d %d %d %d", a.X+a.W, ay, m, ay, m, by, b.X-3, by)
	}
	m := (b.X + b.W + a.X) / 2
	return fmt.Sprintf("M%d %d C%d %d %d %d %d %d", a.X, ay, m, ay, m, by, b.X+b.W+3, by)
}
