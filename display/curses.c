/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text modes on the user's terminal, by ncurses. Characters are those of code page 437, whatever
 * font the guest has loaded. A graphics mode is told, not shown.
 *
 * A terminal sends characters, not keys: each is the key that gives it on a US keyboard, pressed
 * and released. An Escape that is followed by a character at once is Alt with it.
 */
#include "show.h"

#include <curses.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "keys.h"
#include "log.h"

#define FRAME_MS 50
#define COLS_MAX 256

static struct {
	int fd;
	struct termios saved;
	bool on;
	FILE *file;
	SCREEN *term;
} tty = { .fd = -1 };

/* Code page 437 beyond ASCII. */
static const wchar_t cp437_low[32] = L" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼";
static const wchar_t cp437_high[129] = L"⌂"
				       L"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»"
				       L"░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
				       L"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";

static wchar_t character(uint8_t c)
{
	if (c < 0x20)
		return cp437_low[c];
	return c < 0x7f ? (wchar_t)c : cp437_high[c - 0x7f];
}

/* ---- output ---- */

/* Colours of a PC are blue, green, red; those of a terminal red, green, blue. */
static short color(unsigned c)
{
	return (short)((c & 1) << 2 | (c & 2) | (c >> 2 & 1));
}

static void colors_init(void)
{
	if (!has_colors())
		return;
	start_color();
	for (unsigned i = 1; i < 64; i++)
		init_pair((short)i, color(i & 7), color(i >> 3));
	/* Pair 0 cannot be changed: black on black is not worth one of its own. */
}

static void cell_put(unsigned x, unsigned y, struct screen_cell c, bool blinks)
{
	wchar_t text[2] = { character(c.ch), 0 };
	attr_t a = A_NORMAL;
	short pair = (short)((c.attr & 7) | (c.attr >> 4 & 7) << 3);
	cchar_t cc;

	if (c.attr & 8)
		a |= A_BOLD;
	if (blinks && (c.attr & 0x80))
		a |= A_BLINK;
	setcchar(&cc, text, a, has_colors() ? pair : 0, NULL);
	mvadd_wch((int)y, (int)x, &cc);
}

static void say(const char *text)
{
	erase();
	mvaddstr(LINES / 2, COLS > (int)strlen(text) ? (COLS - (int)strlen(text)) / 2 : 0, text);
	curs_set(0);
}

static void draw_text(struct show *s)
{
	struct screen_cell cells[COLS_MAX];
	const struct screen_mode *m = &s->mode;
	int cursor_x = -1, cursor_y = 0;
	unsigned rows = m->rows < (unsigned)LINES ? m->rows : (unsigned)LINES;
	unsigned columns = m->columns < (unsigned)COLS ? m->columns : (unsigned)COLS;

	for (unsigned y = 0; y < rows; y++) {
		int at;

		screen_text_row(&s->regs, m, s->vram, s->vram_len, y, cells, &at);
		for (unsigned x = 0; x < columns; x++)
			cell_put(x, y, cells[x], s->regs.ac[0x10] & 8);
		if (at >= 0 && at < (int)columns) {
			cursor_x = at;
			cursor_y = (int)y;
		}
	}
	curs_set(cursor_x >= 0);
	if (cursor_x >= 0)
		move(cursor_y, cursor_x);
}

static void draw(struct show *s)
{
	static unsigned last_columns, last_rows;
	char text[96];

	show_look(s);
	/* What is beyond a smaller picture must go. */
	if (s->mode.columns != last_columns || s->mode.rows != last_rows)
		erase();
	last_columns = s->mode.columns;
	last_rows = s->mode.rows;
	if (s->mode.kind == SCREEN_TEXT && s->mode.columns <= COLS_MAX) {
		draw_text(s);
	} else if (s->mode.kind == SCREEN_OFF) {
		say("(the screen is off)");
	} else {
		snprintf(text, sizeof(text), "(graphics, %ux%u: -vnc shows it)", s->mode.width,
			s->mode.height);
		say(text);
	}
	refresh();
}

/* ---- input ---- */

static const struct {
	int curses;
	uint32_t keysym;
} function_keys[] = {
	{ KEY_UP, 0xff52 },
	{ KEY_DOWN, 0xff54 },
	{ KEY_LEFT, 0xff51 },
	{ KEY_RIGHT, 0xff53 },
	{ KEY_HOME, 0xff50 },
	{ KEY_END, 0xff57 },
	{ KEY_PPAGE, 0xff55 },
	{ KEY_NPAGE, 0xff56 },
	{ KEY_IC, 0xff63 },
	{ KEY_DC, 0xffff },
	{ KEY_BACKSPACE, 0xff08 },
	{ KEY_ENTER, 0xff0d },
	{ KEY_BTAB, 0xfe20 },
};

static void stroke(struct show *s, uint32_t keysym)
{
	show_keysym(s, keysym, true);
	show_keysym(s, keysym, false);
}

static uint32_t keysym_of(int c)
{
	for (size_t i = 0; i < sizeof(function_keys) / sizeof(function_keys[0]); i++)
		if (function_keys[i].curses == c)
			return function_keys[i].keysym;
	if (c >= KEY_F(1) && c <= KEY_F(12))
		return 0xffbe + (uint32_t)(c - KEY_F(1));
	switch (c) {
	case '\r':
	case '\n': return 0xff0d;
	case '\t': return 0xff09;
	case 0x1b: return 0xff1b;
	case 0x7f:
	case 0x08: return 0xff08;
	}
	return c >= 0x20 && c < 0x7f ? (uint32_t)c : 0;
}

static void take_key(struct show *s, int c)
{
	if (keysym_of(c)) {
		stroke(s, keysym_of(c));
	} else if (c >= 0 && c < 0x20) { /* Ctrl with a letter or with one of @[\]^_ */
		show_key(s, KEY_LEFT_CTRL, true);
		stroke(s, c >= 1 && c <= 26 ? (uint32_t)('a' + c - 1) : (uint32_t)('@' + c));
		show_key(s, KEY_LEFT_CTRL, false);
	}
}

static void take_keys(struct show *s)
{
	int c;

	while ((c = getch()) != ERR) {
		int next = c == 0x1b ? getch() : ERR;

		if (next == ERR) {
			take_key(s, c);
			continue;
		}
		show_key(s, KEY_LEFT_ALT, true);
		take_key(s, next);
		show_key(s, KEY_LEFT_ALT, false);
	}
	show_flush(s);
}

/* ---- life ---- */

void curses_restore(void)
{
	static const char leave[] = "\033[?1049l\033[0m\033[?25h\r\n";

	if (!tty.on)
		return;
	tty.on = false;
	/* Not endwin(): another thread may be in the middle of ncurses. */
	if (write(tty.fd, leave, sizeof(leave) - 1) < 0)
		log_debug("the terminal is gone");
	tcsetattr(tty.fd, TCSANOW, &tty.saved);
}

int curses_open(struct show *s, struct error *err)
{
	tty.fd = proc_segment_fd(&s->proc, "terminal");
	if (tty.fd < 0 || tcgetattr(tty.fd, &tty.saved) < 0)
		return error_set(err, ENOTTY, "the hub gave no terminal");
	setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		setlocale(LC_CTYPE, "C.UTF-8");
	tty.file = fdopen(dup(tty.fd), "r+");
	tty.term = tty.file ? newterm(NULL, tty.file, tty.file) : NULL;
	if (!tty.term)
		return error_set(err, ENOTTY, "ncurses does not know this terminal ($TERM)");
	tty.on = true;
	set_term(tty.term);
	colors_init();
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(25);
	return 0;
}

void curses_run(struct show *s)
{
	for (;;) {
		struct pollfd pf = { .fd = tty.fd, .events = POLLIN };

		draw(s);
		if (poll(&pf, 1, FRAME_MS) > 0)
			take_keys(s);
		if (pf.revents & (POLLHUP | POLLERR))
			proc_fatal(&s->proc, "the terminal is gone");
	}
}
