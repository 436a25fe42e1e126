package console

import "testing"

// TestTemplates: a page's templates are made when it is first asked for, so that here every one is.
func TestTemplates(t *testing.T) {
	for name, set := range loadPages(&Console{}).sets {
		if set().Lookup("layout") == nil {
			t.Errorf("page %s has no layout", name)
		}
	}
}
