<?php
declare(strict_types=1);

require __DIR__ . '/../src/visits.php';

session_start();
$visits = visit($_SESSION);
$name = htmlspecialchars($_GET['name'] ?? 'world', ENT_QUOTES);
?>
<!doctype html>
<title>PHP</title>
<h1>Hello, <?= $name ?></h1>
<p>PHP <?= PHP_MAJOR_VERSION . '.' . PHP_MINOR_VERSION ?>; you asked for <?= htmlspecialchars($_SERVER['REQUEST_URI']) ?>, for the <?= ordinal($visits) ?> time.</p>
