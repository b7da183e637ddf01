; SPDX-License-Identifier: GPL-2.0-or-later
; Code that changes while it runs: by stores, string instructions, through an alias, across pages, and by new page tables. SDM vol. 3,
; 11.6 (self-modifying code needs no more than the store on these processors, if the linear address is the same).
%define TEST_NAME "t_smc"
%include "lib.inc"

%define PD  0x200000
%define PT0 0x201000
%define PT1 0x202000
%define WIN 0x400000
%define FRAME 0x300000

test_main:
	call same_block
	call loop_patch
	call generated
	call by_string
	call straddle
	call bytes
	call paging
	ret

same_block:	; the very next instruction is patched
	mov ecx, 3
	xor edx, edx
.again:	mov byte [.imm + 1], cl
	jmp .go			; serialise for old processors' prefetch
.go:
.imm:	mov al, 0
	movzx eax, al
	add edx, eax
	loop .again
	CHECK_EQ edx, 6
	; without the jump
	mov ecx, 3
	xor edx, edx
.again2:
	mov byte [.imm2 + 1], cl
.imm2:	mov al, 0
	movzx eax, al
	add edx, eax
	loop .again2
	CHECK_EQ edx, 6
	ret

loop_patch:	; patched in the middle of a loop that is hot by then
	mov ecx, 2000
	xor edx, edx
.loop:
.inc:	add edx, 1
	cmp ecx, 1000
	jne .next
	mov byte [.inc + 2], 2
.next:	loop .loop
	CHECK_EQ edx, 1001 + 999 * 2
	mov byte [.inc + 2], 1
	ret

generated:	; a function written over and over at the same place
	mov ecx, 100
	xor edx, edx
.loop:	mov byte [FRAME], 0xb8	; MOV EAX, imm; RET
	mov [FRAME + 1], ecx
	mov byte [FRAME + 5], 0xc3
	mov eax, FRAME
	call eax
	add edx, eax
	loop .loop
	CHECK_EQ edx, 5050
	; a shorter instruction in its place
	mov dword [FRAME], 0x90c3c031	; XOR EAX, EAX; RET
	mov eax, FRAME
	call eax
	CHECK_EQ eax, 0
	ret

by_string:
	mov esi, .one
	mov edi, FRAME
	mov ecx, 6
	rep movsb
	mov eax, FRAME
	call eax
	CHECK_EQ eax, 1
	mov esi, .two
	mov edi, FRAME
	mov ecx, 3
	rep movsw
	mov eax, FRAME
	call eax
	CHECK_EQ eax, 2
	mov eax, 0xc3c3c3c3
	mov edi, FRAME
	mov ecx, 4
	rep stosd
	mov ebx, 5
	mov eax, FRAME
	call eax
	CHECK_EQ eax, FRAME
	ret
.one:	mov eax, 1
	ret
.two:	mov eax, 2
	ret

straddle:	; an instruction over a page's end; either part is patched
	mov byte [FRAME + 0xffd], 0xb8
	mov dword [FRAME + 0xffe], 0x11223344
	mov byte [FRAME + 0x1002], 0xc3
	mov ebx, FRAME + 0xffd
	call ebx
	CHECK_EQ eax, 0x11223344
	mov byte [FRAME + 0x1001], 0x99
	call ebx
	CHECK_EQ eax, 0x99223344
	mov byte [FRAME + 0xffe], 0x55
	call ebx
	CHECK_EQ eax, 0x99223355
	mov word [FRAME + 0xfff], 0x7766
	call ebx
	CHECK_EQ eax, 0x99776655
	; a store that straddles pages hits code on both
	mov dword [FRAME + 0xffe], 0x01020304
	call ebx
	CHECK_EQ eax, 0x01020304
	ret

bytes:	; data in the same page as code, many times
	mov byte [FRAME], 0xc3
	mov ebx, FRAME
	mov ecx, 5000
.loop:	mov [FRAME + 0x800], ecx
	call ebx
	cmp [FRAME + 0x800], ecx
	jne .bad
	loop .loop
	ret
.bad:	CHECK_EQ ecx, 0
	ret

paging:
	mov edi, PD
	xor eax, eax
	mov ecx, 3 * 1024
	rep stosd
	mov dword [PD], PT0 | 7
	mov dword [PD + 4], PT1 | 7
	mov edi, PT0
	mov eax, 7
.fill:	stosd
	add eax, 0x1000
	cmp eax, 0x400000
	jb .fill
	mov eax, PD
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	; two functions; the window shows one, then the other
	mov dword [FRAME], 0x000001b8
	mov word [FRAME + 4], 0xc300
	mov dword [FRAME + 0x1000], 0x000002b8
	mov word [FRAME + 0x1004], 0xc300
	mov dword [PT1], FRAME | 7
	mov ebx, WIN
	call ebx
	CHECK_EQ eax, 1
	mov dword [PT1], FRAME + 0x1007
	invlpg [WIN]
	call ebx
	CHECK_EQ eax, 2
	mov dword [PT1], FRAME | 7
	mov eax, cr3
	mov cr3, eax
	call ebx
	CHECK_EQ eax, 1
	; a store through another address
	mov byte [FRAME + 1], 9
	jmp .s1
.s1:	call ebx
	CHECK_EQ eax, 9
	; through the window, with the code run at the identical address
	mov ecx, FRAME
	call ecx
	CHECK_EQ eax, 9
	mov byte [WIN + 1], 10
	call ecx
	CHECK_EQ eax, 10
	; the page goes away while it is hot
	mov dword [PT1], 0
	invlpg [WIN]
	GUARD
	call ebx
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_eip], WIN
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	ret
