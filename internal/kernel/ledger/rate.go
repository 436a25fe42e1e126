package ledger

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Rates are what the operator asks for what is metered. The zero value asks nothing.
type Rates struct {
	Currency string        `json:"currency"`
	Prices   map[Dim]Price `json:"prices"`
}

// Price is what some of a dimension costs: held for an hour, or passed through once.
type Price struct {
	Price float64 `json:"price"`
	Per   float64 `json:"per"` // so much of it; 0: one
}

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

// ReadRates reads an operator's rates: {"currency": "EUR", "prices": {"compute.memory": {"price": 0.004, "per": 1024}}}. known
// are the dimensions that are metered.
func ReadRates(b []byte, known []Dim) (r Rates, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fail.Field("rates", "it is not {\"currency\": …, \"prices\": {…}}: %s", err)
	}
	if !currency.MatchString(r.Currency) {
		return r, fail.Field("rates.currency", "%q is not a currency", r.Currency).Then("write its three letters: EUR")
	}
	for dim, p := range r.Prices {
		switch {
		case !slices.Contains(known, dim):
			return r, fail.Field("rates.prices", "nothing is metered as %q", dim).Then("metered are %v", known)
		case p.Price < 0 || p.Per < 0:
			return r, fail.Field("rates.prices."+string(dim), "neither price nor per may be below 0")
		}
	}
	return r, nil
}

// Of is what an amount of dim costs, held for an hour or passed once; known tells whether it has a price.
func (r Rates) Of(dim Dim, amount float64) (cost float64, known bool) {
	p, ok := r.Prices[dim]
	if !ok {
		return 0, false
	}
	if p.Per > 0 {
		amount /= p.Per
	}
	return amount * p.Price, true
}

// Cost is what a use costs; nil: it has no price.
func (r Rates) Cost(u Usage) *float64 {
	c, ok := r.Of(u.Dim, u.Hours+float64(u.Passed))
	if !ok {
		return nil
	}
	return &c
}
