<?php
declare(strict_types=1);

/** Counts one more visit in a session. */
function visit(array &$session): int
{
    return $session['visits'] = ($session['visits'] ?? 0) + 1;
}

function ordinal(int $n): string
{
    $end = $n % 100 >= 11 && $n % 100 <= 13 ? 'th' : (['st', 'nd', 'rd'][$n % 10 - 1] ?? 'th');
    return $n . $end;
}
