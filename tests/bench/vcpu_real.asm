; SPDX-License-Identifier: GPL-2.0-or-later
; What vcpu_mips runs in 16-bit code: work as programs of real mode do it. Sums of words by LODSW and by pointers, a search for a
; string, an insertion sort, a linked list of far pointers, calls with arguments on the stack. It never returns. CS is the code, DS and
; ES are data, SS a stack, of 64 KiB each; offsets below are in DS.
	bits 16
	org 0

%define WORDS	0x1000		; 512 of them
%define N_WORDS 512
%define TEXT	0x2000		; 1024 bytes
%define N_TEXT	1024
%define NODES	0x3000		; 128 of 8 bytes: far pointer to the next, a number
%define N_NODES 128
%define RESULT	0x0100

start:	mov word [RESULT], 1
again:	call fill
	call sums
	call search
	call sort
	call list
	call greatest
	jmp again

; AX = the next of a row of random numbers, in [RESULT]
random:	push dx
	mov ax, [RESULT]
	mov dx, 25173
	mul dx
	add ax, 13849
	mov [RESULT], ax
	pop dx
	ret

fill:	mov di, WORDS
	mov cx, N_WORDS
.word:	call random
	stosw
	loop .word
	mov di, TEXT
	mov cx, N_TEXT
.text:	call random
	mov al, ah
	and al, 7
	add al, 'a'
	stosb
	loop .text
	mov word [TEXT + N_TEXT - 4], 'ab'
	mov byte [TEXT + N_TEXT - 2], 'c'
	ret

sums:	mov si, WORDS		; one by LODSW
	mov cx, N_WORDS
	xor bx, bx
	xor dx, dx
.next:	lodsw
	add bx, ax
	adc dx, 0
	loop .next
	mov [RESULT + 2], bx
	mov [RESULT + 4], dx
	xor bx, bx		; one by index, as compilers do it
	xor ax, ax
.index:	mov si, bx
	shl si, 1
	add ax, [si + WORDS]
	rol ax, 1
	inc bx
	cmp bx, N_WORDS
	jb .index
	mov [RESULT + 6], ax
	ret

; "abca", letter by letter
search:	mov si, TEXT
	mov dx, TEXT + N_TEXT - 4
	xor bp, bp
.at:	cmp si, dx
	jae .done
	mov bx, si
	mov di, needle
.char:	mov al, [bx]
	cmp al, [cs:di]
	jne .no
	inc bx
	inc di
	cmp byte [cs:di], 0
	jne .char
	inc bp
.no:	inc si
	jmp .at
.done:	mov [RESULT + 8], bp
	ret
needle:	db "abca", 0

; the first 64 words
sort:	mov bx, 2
.outer:	mov ax, [bx + WORDS]
	mov si, bx
.inner:	cmp si, 0
	je .place
	mov dx, [si + WORDS - 2]
	cmp dx, ax
	jbe .place
	mov [si + WORDS], dx
	sub si, 2
	jmp .inner
.place:	mov [si + WORDS], ax
	add bx, 2
	cmp bx, 128
	jb .outer
	ret

; built, and gone through by LES
list:	mov di, NODES
	mov cx, N_NODES - 1
.build:	lea ax, [di + 8]
	mov [di], ax
	mov [di + 2], ds
	mov [di + 4], cx
	add di, 8
	loop .build
	xor ax, ax
	mov [di], ax
	mov [di + 2], ax
	mov [di + 4], ax
	push es
	mov ax, ds
	mov es, ax
	mov di, NODES
	xor dx, dx
.walk:	add dx, [es:di + 4]
	les di, [es:di]
	mov ax, es
	or ax, ax
	jnz .walk
	pop es
	mov [RESULT + 10], dx
	ret

; greatest common divisors, with arguments on the stack
greatest:
	mov si, WORDS
	mov cx, 16
.pair:	mov ax, [si]
	and ax, 0x3ff
	inc ax
	push ax
	mov ax, [si + 2]
	and ax, 0x3ff
	inc ax
	push ax
	call gcd
	add [RESULT + 12], ax
	add si, 4
	loop .pair
	ret

gcd:	push bp
	mov bp, sp
	push cx
	mov ax, [bp + 4]
	mov cx, [bp + 6]
.step:	cmp ax, cx
	je .done
	ja .first
	sub cx, ax
	jmp .step
.first:	sub ax, cx
	jmp .step
.done:	pop cx
	pop bp
	ret 4
